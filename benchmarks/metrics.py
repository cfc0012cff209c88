"""What PrometheusMiddleware costs: ``python -m benchmarks.metrics``.

It is the time of a message in a process that handles nothing but noops, by :func:`rele.handling`
itself without an engine, with the middleware less without it; alone, and as one of several
processes, which count in files. Beside it is what of that prometheus-client takes itself, for the
one counter and the two histograms of a message.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

ROUNDS = 7

MEASURE = """
import sys, time
from google.pubsub_v1.types import PubsubMessage
from rele import Callback, Subscription
from rele.config import Config
from rele.engine.base import Message
from rele.middleware import register_middleware

MESSAGES = 100_000
NOW = time.time()

class Received(Message):
    message_id, data, attributes, ordering_key = "1", b"1", {}, ""
    publish_timestamp = NOW
    delivery_attempt = None

    def _send(self, settlement, with_response):
        pass

Received.__abstractmethods__ = frozenset()

def handle(data, **attributes):
    pass

names = sys.argv[1:]
register_middleware(Config({"MIDDLEWARE": [f"rele.contrib.{name}" for name in names]}))
callback = Callback(Subscription(handle, "orders"))
callback(Received())
messages = [Received() for _ in range(MESSAGES)]
began = time.thread_time()
for message in messages:
    callback(message)
print((time.thread_time() - began) / MESSAGES * 1e6)

if names:
    from rele.contrib.prometheus import metrics
    count = metrics.MESSAGES.labels("orders", "succeeded").inc
    ran = metrics.HANDLER_SECONDS.labels("orders").observe
    waited = metrics.PUBLISH_TO_HANDLE_SECONDS.labels("orders").observe
    began = time.thread_time()
    for message in messages:
        count()
        ran(0.00001)
        waited(0.0)
    print((time.thread_time() - began) / MESSAGES * 1e6)
"""


def measure(*middlewares: str, folder: str = "") -> list[float]:
    """Microseconds of a message, in a process of its own; of this those of prometheus-client."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder}
    if not folder:
        del environment["PROMETHEUS_MULTIPROC_DIR"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *middlewares],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return list(map(float, done.stdout.split()))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rounds = [
            [
                *measure(),
                *measure("PrometheusMiddleware"),
                *measure("PrometheusMiddleware", folder=folder),
            ]
            for _ in range(ROUNDS)
        ]
    # What else the machine does makes a round longer, and none shorter.
    without, alone, client, in_files, client_in_files = map(min, zip(*rounds, strict=True))
    print(f"The best of {ROUNDS}, in µs of CPU a message: {without:.2f} without it")
    print(f"  with it: {alone - without:.2f} more, of which prometheus-client {client:.2f}")
    print(
        f"  with it, as one of several processes: {in_files - without:.2f} more, of which "
        f"prometheus-client {client_in_files:.2f}"
    )


if __name__ == "__main__":
    main()
