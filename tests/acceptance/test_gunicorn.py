"""gunicorn with ``--preload``: the parent is publishing when it forks its workers."""

from __future__ import annotations

import re
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.support.project import Project, read_until

pytestmark = pytest.mark.both_engines(slow="google")

if sys.platform == "win32":
    pytest.skip("gunicorn runs only on POSIX.", allow_module_level=True)

WORKERS = 3
REQUESTS = 12

APP = """
    import os
    import time

    import rele

    rele.publish("events", 0, blocking=True)  # so that the parent's client exists

    def app(environ, start_response):
        began = time.monotonic()
        rele.publish("events", int(environ["QUERY_STRING"]), blocking=True, timeout=20)
        seconds = time.monotonic() - began
        time.sleep(0.1)  # so that the others get something to do
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getpid()} {seconds}".encode()]
"""

CONFIGURATION = """
    import rele

    futures = []

    def pre_fork(server, worker):
        if not futures:
            # The last fifty wait for more to go with them.
            futures.extend(rele.publish("events", number) for number in range(1, 551))
            print(sum(not future.done() for future in futures), "are in flight", flush=True)

    def worker_exit(server, worker):
        rele.publish("events", 1000 + worker.age)  # and the process ends at once
"""


class Answer(NamedTuple):
    """What a worker says of its publish."""

    pid: int
    seconds: float


def ask(url: str, number: int) -> Answer:
    with urllib.request.urlopen(f"{url}?{number}", timeout=20) as response:
        pid, seconds = response.read().split()
    return Answer(int(pid), float(seconds))


def test_workers_of_a_preloaded_application_publish_and_nothing_is_lost(
    project: Project, events: Callable[[], set[int]]
) -> None:
    project.write("app.py", APP)
    project.write("gunicorn.conf.py", CONFIGURATION)
    gunicorn = project.start(
        *("-m", "gunicorn", "app:app", "--preload"),
        *("--workers", str(WORKERS), "--bind", "127.0.0.1:0"),
    )
    said = read_until(gunicorn.stdout, "Listening at")
    in_flight = int(read_until(gunicorn.stdout, "are in flight").split()[-4])
    [url] = re.findall(r"http://127\.0\.0\.1:\d+", said)
    numbers: list[int] = []
    answers: list[Answer] = []

    deadline = time.monotonic() + 30
    with ThreadPoolExecutor(REQUESTS) as executor:
        while len({answer.pid for answer in answers}) < WORKERS:
            assert time.monotonic() < deadline, answers
            batch = range(2000 + len(numbers), 2000 + len(numbers) + REQUESTS)
            numbers += batch
            answers += executor.map(lambda number: ask(url, number), batch)

    gunicorn.send_signal(signal.SIGTERM)
    output, _ = gunicorn.communicate(timeout=20)
    assert gunicorn.returncode == 0, output
    assert max(answer.seconds for answer in answers) < 1
    assert in_flight > 0
    assert events() == {*range(551), *numbers, *(1000 + age for age in range(1, WORKERS + 1))}
