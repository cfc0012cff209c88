"""Publishing in processes whose threads are greenlets: gevent and eventlet.

By Relé's own engine: Google's client stops all greenlets while it waits.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.support.project import Project, read_until
from tests.support.proxy import Proxy

if sys.platform == "win32":
    pytest.skip("gunicorn and gRPC's support of gevent are for POSIX.", allow_module_level=True)

TOGETHER = 20
"""Greenlets that publish at the same time."""

LONGEST_PAUSE = 0.5
"""Seconds for which no greenlet may be kept from running; the machine may be busy."""

TIMEOUT = 1.0
SLACK = 0.5
"""Seconds by which a timeout may be late."""

PATCH = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}

TICKER = """
    import threading
    import time
    from concurrent.futures import TimeoutError

    class Ticker(threading.Thread):
        '''Measures the longest pause in which no other greenlet ran.'''

        def __init__(self):
            super().__init__(daemon=True)
            self.pause = 0

        def run(self):
            while True:
                began = time.monotonic()
                time.sleep(0.01)
                self.pause = max(self.pause, time.monotonic() - began)

    def timed_publish(rele, number, timeout):
        began = time.monotonic()
        outcome = "accepted"
        try:
            rele.publish("events", number, blocking=True, timeout=timeout)
        except TimeoutError:
            outcome = "timed out"
        return [outcome, time.monotonic() - began]
"""

PROCESS = """
    {patch}
    import json
    import threading
    import time
    from pathlib import Path

    import rele
    from ticker import Ticker, timed_publish

    def wait_for(name):
        while not Path(name).exists():
            time.sleep(0.01)

    def publish_together(numbers, timeout):
        ticker = Ticker()
        ticker.start()
        answers = []
        threads = [
            threading.Thread(target=lambda n=n: answers.append(timed_publish(rele, n, timeout)))
            for n in numbers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("ANSWERS", json.dumps([ticker.pause, answers]), flush=True)

    def main():
        rele.publish("events", 0, blocking=True, timeout=30)
        publish_together(range(1, {together}), 30)
        wait_for("outage")
        publish_together(range({together}, 2 * {together}), {timeout})
        wait_for("over")
        for number in range(2 * {together}, 3 * {together}):
            rele.publish("events", number)
        print("FLUSHED", rele.publishing.flush(60), flush=True)
        rele.publish("events", 3 * {together})  # and the process ends

    if __name__ == "__main__":
        main()
"""

APP = """
    import threading
    import json
    import time

    import rele
    from ticker import Ticker, timed_publish

    tickers = []

    if {preload}:
        rele.publish("events", -1, blocking=True, timeout=30)

    def app(environ, start_response):
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        start_response("200 OK", [("Content-Type", "application/json")])
        if path == "/publish":
            number, timeout = query.split("&")
            return [json.dumps(timed_publish(rele, int(number), float(timeout))).encode()]
        if path == "/begin":  # in the worker, once it is patched
            tickers.append(Ticker())
            tickers[0].start()
        return [json.dumps(tickers[0].pause).encode()]
"""


class Answers(NamedTuple):
    """What greenlets that published together say."""

    pause: float
    """Seconds for which no other greenlet ran."""
    outcomes: list[tuple[str, float]]
    """For each publish how it ended, and after how many seconds."""

    def all_are(self, outcome: str) -> bool:
        return len(self.outcomes) >= TOGETHER - 1 and {each for each, _ in self.outcomes} == {
            outcome
        }

    @property
    def seconds(self) -> list[float]:
        return [seconds for _, seconds in self.outcomes]


@pytest.fixture
def proxy(embedded_server: str) -> Iterator[Proxy]:
    with Proxy(embedded_server) as proxy:
        yield proxy


def read_answers(stream: Any) -> Answers:
    line = read_until(stream, "ANSWERS").splitlines()[-1]
    pause, outcomes = json.loads(line.removeprefix("ANSWERS "))
    return Answers(pause, outcomes)


def assert_timed_out(answers: Answers) -> None:
    """That each publish waited as long as it was allowed to, and other greenlets ran meanwhile."""
    assert answers.all_are("timed out"), answers
    assert all(TIMEOUT - 0.05 < seconds < TIMEOUT + SLACK for seconds in answers.seconds), answers
    assert answers.pause < LONGEST_PAUSE


@pytest.mark.parametrize("outage", ["cut", "stall"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_an_outage_stops_no_greenlet_and_timeouts_hold(
    project: Project,
    proxy: Proxy,
    events: Callable[[], set[int]],
    library: str,
    outage: str,
) -> None:
    project.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
    project.write_settings(ENGINE="rele")
    project.write("ticker.py", TICKER)
    project.write(
        "main.py",
        PROCESS.format(patch=PATCH[library], together=TOGETHER, timeout=TIMEOUT),
    )
    process = project.start("main.py")

    before = read_answers(process.stdout)
    assert before.all_are("accepted")
    assert before.pause < LONGEST_PAUSE

    getattr(proxy, outage)()
    project.write("outage", "")
    assert_timed_out(read_answers(process.stdout))

    proxy.resume()
    project.write("over", "")
    output, _ = process.communicate(timeout=90)
    assert "FLUSHED True" in output, output
    assert process.returncode == 0, output
    assert events() == {*range(3 * TOGETHER + 1)}


IN_A_POOL = """
    from gevent import monkey; monkey.patch_all()
    import threading

    from gevent.threadpool import ThreadPool

    import rele
    from ticker import timed_publish

    pool = ThreadPool(3)
    answers = []

    def publish(number):
        call = (rele, number, 30)
        in_pool = number % 2 == 0
        answers.append(pool.apply(timed_publish, call) if in_pool else timed_publish(*call))

    publish(1)
    threads = [threading.Thread(target=publish, args=[n]) for n in range(2, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print({outcome for outcome, _ in answers}, len(answers))
"""


def test_threads_of_gevents_pool_publish_beside_greenlets(
    project: Project, events: Callable[[], set[int]]
) -> None:
    project.write_settings(ENGINE="rele")
    project.write("ticker.py", TICKER)
    project.write("main.py", IN_A_POOL)

    status, output = project.run("main.py")

    assert (status, output.splitlines()[-1]) == (0, "{'accepted'} 29")
    assert events() == {*range(1, 30)}


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.loads(response.read())


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_a_gevent_worker_of_gunicorn_serves_others_during_an_outage(
    project: Project, proxy: Proxy, events: Callable[[], set[int]], preload: bool
) -> None:
    project.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
    project.write_settings(ENGINE="rele")
    project.write("ticker.py", TICKER)
    project.write("app.py", APP.format(preload=preload))
    gunicorn = project.start(
        *("-m", "gunicorn", "app:app", "--worker-class", "gevent"),
        *("--workers", "1", "--bind", "127.0.0.1:0"),
        *(["--preload"] if preload else []),
    )
    [url] = re.findall(r"http://127\.0\.0\.1:\d+", read_until(gunicorn.stdout, "Listening at"))
    assert ask(f"{url}/publish?0&30")[0] == "accepted"
    ask(f"{url}/begin")

    proxy.cut()
    with ThreadPoolExecutor(TOGETHER) as executor:
        urls = [f"{url}/publish?{number}&{TIMEOUT}" for number in range(1, TOGETHER)]
        outcomes = [*executor.map(ask, urls)]
    assert_timed_out(Answers(ask(f"{url}/pause"), outcomes))

    proxy.resume()
    assert ask(f"{url}/publish?{TOGETHER}&60")[0] == "accepted"
    gunicorn.send_signal(signal.SIGTERM)
    output, _ = gunicorn.communicate(timeout=60)
    assert gunicorn.returncode == 0, output
    assert events() == {*range(-1 if preload else 0, TOGETHER + 1)}


WORKER = """
    {patch}
    import sys

    from rele.cli import main

    sys.exit(main(["run"]))
"""

SUBS = """
    from rele import sub

    @sub(topic="jobs")
    def handle(data, **attributes):
        pass
"""


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_a_worker_is_refused_with_one_error(project: Project, library: str) -> None:
    project.write_settings(ENGINE="rele")
    project.write("subs.py", SUBS)
    project.write("main.py", WORKER.format(patch=PATCH[library]))

    status, output = project.run("main.py")

    assert status == 1
    [error] = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert error == output.splitlines()[-1]
    assert f"in a process that {library} has patched" in error
    assert f"Start it without {library}'s monkey patching" in error
