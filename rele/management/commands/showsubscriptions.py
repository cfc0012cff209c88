"""``manage.py showsubscriptions``: list what runrele would consume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand

from rele.config import load, load_subscriptions_from_paths
from rele.management.discover import discover_subs_modules


class Command(BaseCommand):
    help = "List the subscriptions of the installed apps, sorted by topic."

    def handle(self, *args: Any, **options: Any) -> None:
        config = load()
        subs = load_subscriptions_from_paths(
            discover_subs_modules(), config.sub_prefix, config.filter_by
        )
        rows = sorted((sub.topic, sub.name, sub.path) for sub in subs)
        for line in _table([("Topic", "Subscriber(s)", "Sub"), *rows]):
            self.stdout.write(line)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines of aligned columns, with a rule below the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines
