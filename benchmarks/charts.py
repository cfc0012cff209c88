"""The charts of ``RESULTS.md``; ``python -m benchmarks.charts`` draws them from its tables."""

from __future__ import annotations

from benchmarks import consuming_table, publishing_table
from benchmarks.chart import Chart

PUBLISHING = Chart("publishing", "Publishing, beside Google's client", publishing_table.TABLE)
CONSUMING = Chart("consuming", "Consuming, beside Google's client", consuming_table.TABLE)

if __name__ == "__main__":
    for each in (PUBLISHING, CONSUMING):
        print(each.draw())
