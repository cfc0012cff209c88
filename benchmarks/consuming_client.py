"""One process that consumes, by one of the libraries that are compared.

``python consuming_client.py NAME LEVEL LOG WARM_UP MESSAGES`` prints, as JSON, the seconds and the
CPU seconds that ``MESSAGES`` took after the first ``WARM_UP``, and ends. It imports nothing of
this repository but Relé, so that it runs in the peers' environment, too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

PROJECT = "benchmark"
SUBSCRIPTION = "orders"
THREADS = 2


class Count:
    """Counts handled messages; prints the figures and ends the process at the last."""

    def __init__(self, warm_up: int, messages: int) -> None:
        self._warm_up = warm_up
        self._messages = messages
        self._handled = 0
        self._lock = threading.Lock()
        self._began = (0.0, 0.0)

    def __call__(self, data: Any, **attributes: Any) -> None:
        with self._lock:
            self._handled += 1
            if self._handled == self._warm_up:
                self._began = time.perf_counter(), time.process_time()
            elif self._handled == self._warm_up + self._messages:
                self._end()

    def _end(self) -> None:
        seconds, cpu = self._began
        figures = {
            "seconds": time.perf_counter() - seconds,
            "cpu": time.process_time() - cpu,
            "threads": len(list(Path("/proc/self/task").iterdir())),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        os._exit(0)


def consume_by_google(count: Count) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from google.cloud import pubsub_v1
    from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

    def handle(message: Any) -> None:
        count(json.loads(message.data), **message.attributes)
        message.ack()

    client = pubsub_v1.SubscriberClient()
    path = client.subscription_path(PROJECT, SUBSCRIPTION)
    scheduler = ThreadScheduler(ThreadPoolExecutor(THREADS))
    client.subscribe(path, callback=handle, scheduler=scheduler).result()


def consume_by_rele(count: Count) -> None:
    """Relé, or version 1.x of it: whichever is installed."""
    import rele
    from rele import worker
    from rele.config import Config

    def handle(data: Any, **attributes: Any) -> None:
        count(data, **attributes)

    settings: dict[str, Any] = {
        "APP_NAME": "benchmark",
        "GC_PROJECT_ID": PROJECT,
        "THREADS_PER_SUBSCRIPTION": THREADS,
        "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"],
    }
    if not rele.__version__.startswith("1."):
        settings["RESOURCES"] = "ignore"
    config = Config(settings)
    rele.setup(settings)
    # Version 1.x looks for a host of the Internet, which a benchmark does without.
    worker.check_internet_connection = lambda remote_server: True
    worker.create_and_run([rele.sub(topic=SUBSCRIPTION)(handle)], config)


CONSUMERS = {
    "google": consume_by_google,
    "rele": consume_by_rele,
}


def main() -> None:
    name, level, log, warm_up, messages = sys.argv[1:]
    logging.basicConfig(filename=log, level=level)
    CONSUMERS[name](Count(int(warm_up), int(messages)))


if __name__ == "__main__":
    main()
