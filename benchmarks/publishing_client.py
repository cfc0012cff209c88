"""One process that publishes by one library, and measures one thing.

``python publishing_client.py LIBRARY MEASURE`` prints figures as JSON. Each measure is of what
follows a warm-up, but for ``first``, which is of the whole process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

from publishing_libraries import LIBRARIES, TIMEOUT

WARM_UP = 200
MESSAGES = 20_000
KILOBYTE_MESSAGES = 10_000
ONE_BY_ONE = 300
THREADS, OF_A_THREAD = 32, 200
ORDERED, KEYS = 10_000, 200
TOGETHER = 10_000
TASKS, OF_A_TASK = 1000, 10

Figures = dict[str, float]


def _data(number: int, size: int = 60) -> dict[str, Any]:
    return {"id": number, "text": "x" * size}


def _wait(futures: list[Any]) -> None:
    for future in futures:
        future.result(TIMEOUT)


def _threads() -> int:
    """Of the process, gRPC's included."""
    return len(list(Path("/proc/self/task").iterdir()))


def _resident_megabytes() -> float:
    """The most that the process had so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _publish_all(number: int, hand_over: Callable[[], list[Any]]) -> Figures:
    """Publish ``number`` messages until every future is done."""
    began, cpu, caller = time.perf_counter(), time.process_time(), time.thread_time()
    futures = hand_over()
    caller = time.thread_time() - caller
    threads = _threads()
    _wait(futures)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "rate": number / seconds,
        "cpu": cpu / number * 1e6,
        "caller": caller / number * 1e6,
        "threads": max(threads, _threads()),
        "memory": _resident_megabytes(),
    }


def measure_throughput(library: Any, size: int = 60, number: int = MESSAGES) -> Figures:
    """One ``publish`` after the other; the stub, which has none, makes whole requests."""
    if not hasattr(library, "publish"):
        return measure_together(library, size, number)
    _wait([library.publish(_data(each)) for each in range(WARM_UP)])
    return _publish_all(
        number, lambda: [library.publish(_data(each, size)) for each in range(number)]
    )


def measure_kilobytes(library: Any) -> Figures:
    """Messages of 1 kB of data."""
    size = 1000
    figures = measure_throughput(library, size, KILOBYTE_MESSAGES)
    return {**figures, "megabytes": figures["rate"] * size / 1e6}


def measure_together(library: Any, size: int = 60, number: int = TOGETHER) -> Figures:
    _wait(library.publish_many(map(_data, range(WARM_UP))))
    return _publish_all(
        number, lambda: library.publish_many([_data(each, size) for each in range(number)])
    )


def measure_ordered(library: Any) -> Figures:
    """Each message has the key after that of the one before it."""
    keys = [f"customer-{number}" for number in range(KEYS)]
    _wait([library.publish_ordered(_data(each), keys[each % KEYS]) for each in range(WARM_UP)])
    return _publish_all(
        ORDERED,
        lambda: [
            library.publish_ordered(_data(each), keys[each % KEYS]) for each in range(ORDERED)
        ],
    )


def measure_blocking(library: Any) -> Figures:
    """One message at a time, each until it is accepted; milliseconds."""
    for each in range(WARM_UP // 10):
        library.publish_blocking(_data(each))
    times = []
    for each in range(ONE_BY_ONE):
        began = time.perf_counter()
        library.publish_blocking(_data(each))
        times.append((time.perf_counter() - began) * 1000)
    hundredths = quantiles(times, n=100)
    return {"p50": hundredths[49], "p99": hundredths[98]}


def measure_threads(library: Any) -> Figures:
    """So many threads, each of which publishes one message at a time."""
    library.publish_blocking(_data(0))
    start = threading.Barrier(THREADS + 1)

    def publish() -> None:
        start.wait()
        for each in range(OF_A_THREAD):
            library.publish_blocking(_data(each))

    threads = [threading.Thread(target=publish) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    number = THREADS * OF_A_THREAD
    return {"rate": number / seconds, "cpu": cpu / number * 1e6}


def measure_tasks(library: Any) -> Figures:
    """So many tasks of an event loop, each of which publishes one message at a time."""
    library.publish_blocking(_data(0))

    async def publish() -> None:
        for each in range(OF_A_TASK):
            await library.publish_in_loop(_data(each))

    async def publish_in_tasks() -> Figures:
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(publish() for _ in range(TASKS)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        number = TASKS * OF_A_TASK
        return {"rate": number / seconds, "cpu": cpu / number * 1e6}

    return asyncio.run(publish_in_tasks())


def measure_first(library: Any) -> Figures:
    """The parent measures how long it takes until this returns."""
    library.publish_blocking(_data(0))
    return {}


MEASURES: dict[str, Callable[[Any], Figures]] = {
    name.removeprefix("measure_"): function
    for name, function in list(globals().items())
    if name.startswith("measure_")
}


def main() -> None:
    library, measure = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    figures = MEASURES[measure](LIBRARIES[library]())
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
