"""A process that publishes on while Pub/Sub cannot be reached."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.ledger import Expected, check_handled
from tests.support.project import Project, read_until
from tests.support.proxy import Proxy
from tests.support.publish_outcomes import NOTING

Pull = Callable[[], list[bytes]]


OURS = pytest.mark.parametrize("engine", ["rele"])
"""Google's client starts a thread for each batch, and resumes only after a minute or two."""

OUTAGES = pytest.mark.parametrize(
    "outage", [10, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(240)])]
)
"""Seconds."""

PER_SECOND = 200


@pytest.fixture
def proxy(project: Project, embedded_server: str, pull_events: Pull) -> Iterator[Proxy]:
    """What the program reaches its server through, and ``pull_events`` does not."""
    with Proxy(embedded_server) as proxy:
        project.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        yield proxy


PUBLISH_STEADILY = f"""
    import json, logging, sys, time
    from concurrent.futures import wait
    from pathlib import Path
    import rele
    from tests.support.process_figures import count_threads, resident_bytes

    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="LOG %(message)s")
    futures, done_at, threads, resident = [], {{}}, [], []

    def publish():
        number = len(futures)
        futures.append(rele.publish("events", number))
        futures[-1].add_done_callback(lambda future: done_at.setdefault(number, time.monotonic()))

    begins = time.monotonic()

    def publish_while(is_wanted):
        while is_wanted():
            publish()
            if len(futures) % 20 == 0:
                threads.append(count_threads())
                resident.append(resident_bytes())
            time.sleep(max(begins + len(futures) / {PER_SECOND} - time.monotonic(), 0))

    publish_while(lambda: len(futures) < 2 * {PER_SECOND})
    usual = max(threads), resident[-1]
    print("published", flush=True)
    publish_while(lambda: not Path("is-over").exists())
    in_outage = len(futures)
    pending = wait(futures, timeout=60).not_done
    assert rele.publish("events", len(futures), blocking=True, timeout=10).result(0)
    print(json.dumps({{
        "published": len(futures) + 1,
        "pending": len(pending),
        "failed": sum(future.exception(0) is not None for future in futures if future.done()),
        "last": max(done_at[number] for number in range(in_outage)),
        "more threads": max(threads) - usual[0],
        "more bytes": max(resident) - usual[1],
    }}))
"""


class Steady:
    """A program that publishes steadily, before and in an outage and a little later."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._process = project.start(str(project.write("program.py", PUBLISH_STEADILY)))
        self.log: list[str] = []
        read_until(self._process.stdout, "published")

    def ends(self) -> Any:
        """End it; what it reports."""
        self._project.write("is-over", "")
        output, _ = self._process.communicate(timeout=100)
        assert self._process.returncode == 0, output
        *lines, report = output.splitlines()
        self.log = [line.removeprefix("LOG ") for line in lines]
        return json.loads(report)


def assert_all_arrived(report: dict[str, Any], pull_events: Pull) -> None:
    """That each was published, some twice where the answer was lost."""
    published = range(report["published"])
    arrived = map(int, pull_events())
    assert check_handled(arrived, published, Expected(again=published)) == []


def assert_logged_once_a_minute(log: list[str], outage: float) -> None:
    *lasting, end = log
    assert 1 + (outage - 10) // 60 <= len(lasting) <= 1 + outage // 60, log
    assert all("waiting" in line for line in lasting), log
    assert "again" in end


@OURS
@OUTAGES
def test_an_outage_takes_no_more_threads_and_little_memory_and_ends_within_two_seconds(
    project: Project, proxy: Proxy, pull_events: Pull, engine: str, outage: float
) -> None:
    project.write_settings(ENGINE=engine)
    program = Steady(project)

    proxy.cut()
    time.sleep(outage)
    proxy.resume()
    resumed_at = time.monotonic()
    report = program.ends()

    assert (report["pending"], report["failed"]) == (0, 0)
    assert_all_arrived(report, pull_events)
    assert report["last"] - resumed_at < 2
    assert report["more threads"] <= 2  # gRPC's own pool grows and shrinks a little
    assert report["more bytes"] < 10_000_000 + outage * PER_SECOND * 5_000
    assert_logged_once_a_minute(program.log, outage)


@OURS
def test_a_server_that_accepts_connections_and_is_silent_is_an_outage(
    project: Project, proxy: Proxy, pull_events: Pull, engine: str
) -> None:
    project.write_settings(ENGINE=engine)
    program = Steady(project)

    proxy.stall()
    time.sleep(20)
    proxy.resume()
    resumed_at = time.monotonic()
    report = program.ends()

    assert (report["pending"], report["failed"]) == (0, 0)
    assert_all_arrived(report, pull_events)
    assert report["last"] - resumed_at < 20
    assert report["more threads"] <= 2


LARGE_MESSAGES = """
    import json, time
    from concurrent.futures import wait
    from pathlib import Path
    import rele
    from rele.exceptions import PublisherFull
    from tests.support import publish_outcomes as outcomes
    from tests.support.process_figures import count_threads, resident_bytes

    rele.publish("events", "first", blocking=True, timeout=20)
    before, threads = resident_bytes(), count_threads()
    print("published", flush=True)
    while not Path("is-cut").exists():
        time.sleep(0.01)
    payload = "x" * 32_000
    futures = [
        rele.publish("events", payload, raise_exception=False, timeout=0.002)
        for _ in range(3_600)
    ]
    refused = [future for future in futures if future.done()]
    peak, more_threads = resident_bytes() - before, count_threads() - threads
    print("full", flush=True)
    wait(futures, timeout=60)
    rele.flush(20)
    full = sum(isinstance(future.exception(0), PublisherFull) for future in refused)
    full_by_hook = sum(isinstance(error, PublisherFull) for _, error in outcomes.failed)
    print(json.dumps({
        "accepted": len(outcomes.succeeded), "refused": len(refused), "full": full,
        "full by hook": full_by_hook, "more bytes": peak, "more threads": more_threads,
    }))
"""


@OURS
def test_large_messages_in_an_outage_take_no_more_memory_than_the_limit(
    project: Project, proxy: Proxy, pull_events: Pull, engine: str
) -> None:
    limit = 20 * 2**20
    project.write_settings(ENGINE=engine, MIDDLEWARE=NOTING, PUBLISHER_LIMITS={"max_bytes": limit})
    process = project.start(str(project.write("program.py", LARGE_MESSAGES)))
    read_until(process.stdout, "published")
    proxy.cut()
    project.write("is-cut", "")
    read_until(process.stdout, "full")
    proxy.resume()

    output, _ = process.communicate(timeout=100)

    assert process.returncode == 0, output
    report = json.loads(output.splitlines()[-1])
    accepted = limit // 32_000
    assert accepted - 50 < report["accepted"] - 1 <= accepted
    assert report["refused"] == report["full"] == report["full by hook"]
    assert report["refused"] + report["accepted"] - 1 == 3_600
    assert report["more bytes"] < 2 * limit + 20_000_000
    assert report["more threads"] <= 4
    assert len(pull_events()) == report["accepted"]
