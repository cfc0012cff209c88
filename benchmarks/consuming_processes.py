"""``rele-cli run`` with a handler that computes, counted by the server's acknowledgements.

Beside ``consuming_client``, whose processes run it in a folder of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUSY_FOR = 0.001
"""Seconds of Python that a message takes."""

SETTINGS = """
RELE = {
    "APP_NAME": "benchmark",
    "GC_PROJECT_ID": "benchmark",
    "THREADS_PER_SUBSCRIPTION": 2,
    "RESOURCES": "ignore",
}
"""

SUBS = f"""
import time
from rele import sub

@sub(topic="orders")
def handle(data, **attributes):
    until = time.thread_time() + {BUSY_FOR}
    while time.thread_time() < until:
        pass
"""


@contextmanager
def _worker(processes: int) -> Iterator[None]:
    Path("settings.py").write_text(SETTINGS)
    Path("subs.py").write_text(SUBS)
    command = [str(Path(sys.executable).with_name("rele-cli")), "run", "--verbosity=0"]
    if processes > 1:
        command.append(f"--processes={processes}")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", os.environ["PYTHONPATH"]])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as worker:
        try:
            yield
        finally:
            worker.send_signal(signal.SIGTERM)


def rate(processes: int, warm_up: float, seconds: float) -> float:
    """Messages a second of a worker of so many processes.

    The warm-up begins with the first message, so that no start is a part of what is measured; nor
    is the end, since the worker goes on. The benchmark's server needs a part of the cores.
    """
    import grpc

    channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
    acknowledged: Any = channel.unary_unary("/benchmark/Acknowledged")
    with _worker(processes):
        while not int(acknowledged(b"")):
            time.sleep(0.1)
        time.sleep(warm_up)
        first, began = int(acknowledged(b"")), time.perf_counter()
        time.sleep(seconds)
        number = int(acknowledged(b"")) - first
        return number / (time.perf_counter() - began)
