"""One process that consumes by one library, and measures one thing.

``python consuming_client.py LIBRARY MEASURE LOG`` prints figures as JSON, and ends. Messages are
counted while the library goes on; what comes before, while it gets up to speed, does not count.
With ``--quick`` behind it, times are so short that only whether it runs can be seen.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from statistics import quantiles
from typing import Any

import consuming_processes
from consuming_libraries import LIBRARIES, PROJECT

SPEED = 0.2 if sys.argv[-1] == "--quick" else 1.0
WARM_UP = {"rele": 10.0 * SPEED}
OTHERS_WARM_UP = 2.0
"""Seconds: Relé widens its flow control step by step."""
WARM_UP_OF_MANY = 60.0 * SPEED
"""Seconds, for any number of subscriptions: until no stream is replaced by a wider one any more."""
MEASURED = 3.0 * SPEED
"""Seconds."""
IDLE_AFTER = 35.0 * SPEED
"""Seconds: Relé's handler threads end after 30 without a message."""
IDLE_FOR = 60.0 * SPEED
"""Seconds: two keepalives of each stream are among them."""
TIMEOUT = 100.0
ONE_BY_ONE, FIRST_ONES = int(500 * SPEED), 50
IDLE, MANY = 100, 1000

Figures = dict[str, float]


class Counter:
    """Counts without a lock, which would be a part of what is measured."""

    def __init__(self) -> None:
        self._count = count(1)
        self.handled = threading.Event()
        """Set with each message, where somebody waits for it."""
        self.handled_at = 0.0

    def __call__(self, number: int) -> None:
        if number == 1:
            next(self._count)
        else:
            next(islice(self._count, number - 1, None))

    def note(self, number: int) -> None:
        """Count, and wake who waits."""
        self.handled_at = time.perf_counter()
        self(number)
        self.handled.set()

    @property
    def value(self) -> int:
        return int(self._count.__reduce__()[1][0]) - 1

    def wait_for(self, number: int) -> None:
        """Until so many were handled."""
        until = time.monotonic() + TIMEOUT
        while self.value < number:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.value} of {number} messages were handled.")
            time.sleep(0.002)


def _threads() -> int:
    """Of the process, gRPC's included."""
    return len(list(Path("/proc/self/task").iterdir()))


def _resident_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _rate(counter: Counter, size: int = 0, warm_up: float | None = None) -> Figures:
    """Messages a second, after a warm-up that begins with the first message."""
    counter.wait_for(1)
    time.sleep(warm_up or WARM_UP.get(sys.argv[1], OTHERS_WARM_UP))
    first, began, cpu = counter.value, time.perf_counter(), time.process_time()
    time.sleep(MEASURED)
    number, seconds = counter.value - first, time.perf_counter() - began
    cpu = time.process_time() - cpu
    if not number:
        raise TimeoutError("No message was handled.")
    return {
        "rate": number / seconds,
        "cpu": cpu / number * 1e6,
        "megabytes": number / seconds * size / 1e6,
        "threads": _threads(),
        "python threads": threading.active_count() - 1,  # without the one that measures
        "memory": _resident_megabytes(),
    }


def measure_rate(counter: Counter) -> Figures:
    """Messages of some 100 bytes."""
    return _rate(counter)


def measure_kilobytes(counter: Counter) -> Figures:
    """Messages of 1 kB."""
    return _rate(counter, 1000)


def measure_many(counter: Counter) -> Figures:
    """Messages of some 100 bytes, after as long a warm-up as a thousand subscriptions need."""
    return _rate(counter, warm_up=WARM_UP_OF_MANY)


def measure_latency(counter: Counter) -> Figures:
    """From before a publish by the bare stub until the handler runs, one message at a time."""
    import grpc
    from google.pubsub_v1 import types

    counter.wait_for(1)
    topic = f"projects/{PROJECT}/topics/{QUIET}"
    request = types.PublishRequest.pb()(topic=topic, messages=[{"data": b'{"id": 1}'}])
    payload = request.SerializeToString()
    channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
    publish: Any = channel.unary_unary("/google.pubsub.v1.Publisher/Publish")
    times = []
    for _ in range(FIRST_ONES + ONE_BY_ONE):
        counter.handled.clear()
        began = time.perf_counter()
        publish(payload)
        counter.handled.wait(TIMEOUT)
        times.append((counter.handled_at - began) * 1000)
    hundredths = quantiles(times[FIRST_ONES:], n=100)
    return {"p50": hundredths[49], "p99": hundredths[98]}


def measure_memory(counter: Counter) -> Figures:
    """Of one subscription that has nothing to do."""
    counter.wait_for(1)
    time.sleep(OTHERS_WARM_UP)
    return {"memory": _resident_megabytes()}


def measure_idle(counter: Counter) -> Figures:
    """Of many subscriptions that have nothing to do, beside one in another process."""
    command = [sys.executable, __file__, sys.argv[1], "memory", "one.log", *sys.argv[4:]]
    one = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    counter.wait_for(IDLE)
    time.sleep(IDLE_AFTER)
    began, cpu = time.perf_counter(), time.process_time()
    time.sleep(IDLE_FOR)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "cpu": cpu / seconds * 100,
        "threads": _threads(),
        "memory": _resident_megabytes(),
        "above one": _resident_megabytes() - one["memory"],
    }


def measure_start(counter: Counter) -> Figures:
    """Until each of many subscriptions has handled a message."""
    began = time.perf_counter()
    counter.wait_for(MANY)
    return {"start": time.perf_counter() - began, "threads": _threads()}


def measure_processes(number: int) -> Figures:
    """Of ``rele-cli run`` with so many processes."""
    return {"rate": consuming_processes.rate(number, WARM_UP["rele"], MEASURED)}


PROCESSES = {"process": 1, "processes": 2}

ONE, QUIET = "orders", "quiet"

MEASURES: dict[str, tuple[Callable[[Counter], Figures], str, list[str]]] = {
    "throughput": (measure_rate, "one by one", [ONE]),
    "fast": (measure_rate, "one by one", [ONE]),
    "logged": (measure_rate, "one by one", [ONE]),
    "kilobytes": (measure_kilobytes, "one by one", [ONE]),
    "bytes": (measure_rate, "batch of bytes", [ONE]),
    "batches": (measure_rate, "batch", [ONE]),
    "async": (measure_rate, "async", [ONE]),
    "waiting": (measure_rate, "async that waits", [ONE]),
    "latency": (measure_latency, "one by one", [QUIET]),
    "memory": (measure_memory, "one by one", [QUIET]),
    "idle": (measure_idle, "one by one", [f"{QUIET}-{each}" for each in range(IDLE)]),
    "start": (measure_start, "one by one", [f"{QUIET}-{each}" for each in range(MANY)]),
    **{
        f"many-{number}": (measure_many, "one by one", [f"{ONE}-{each}" for each in range(number)])
        for number in (1, 100, MANY)
    },
}
"""For each: what measures, how messages are handled, and of which subscriptions."""


def main() -> None:
    name, measure, log = sys.argv[1:4]
    logging.basicConfig(filename=log, level="INFO" if measure == "logged" else "WARNING")
    if measure != "fast":  # as without the extra ``fast``
        sys.modules.update(dict.fromkeys(("msgspec", "orjson")))  # type: ignore[arg-type]
    if measure in PROCESSES:
        print(json.dumps(measure_processes(PROCESSES[measure])), flush=True)
        return
    function, kind, names = MEASURES[measure]
    library, counter = LIBRARIES[name](), Counter()

    def measure_and_end() -> None:
        try:
            print(json.dumps(function(counter)), flush=True)
        except BaseException:  # noqa: BLE001 - reported, and the process ends
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    threading.Thread(target=measure_and_end, daemon=True).start()
    library.consume(names, kind, counter.note if function is measure_latency else counter)


if __name__ == "__main__":
    main()
