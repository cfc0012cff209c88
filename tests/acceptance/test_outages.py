"""A worker whose server cannot be reached for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from rele.engine.times import Times
from tests.support.project import Project
from tests.support.proxy import Proxy
from tests.support.watched import Watched, start_watched, write_project

pytestmark = pytest.mark.both_engines(slow="google")

Publish = Callable[[range], None]

UNAVAILABLE = "cannot be reached"
BACK = "answers again"
LOST = "may be handled again: their leases were lost after their handlers had begun"


@pytest.fixture
def proxy(project: Project, embedded_server: str) -> Iterator[Proxy]:
    """What the worker reaches its server through."""
    with Proxy(embedded_server) as proxy:
        project.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        yield proxy


def assert_said_once_a_minute(worker: Watched, outage: float) -> None:
    """That all it logged is the outage, a line a minute, its end, and once what it has cost."""
    log = worker.log()
    lost = [line for line in log if LOST in line]
    *unavailable, back = [line for line in log if line not in lost]
    assert len(lost) <= 1, lost
    assert all(UNAVAILABLE in line for line in unavailable), unavailable
    assert BACK in back
    # Longer for the worker, by up to 12 s between two attempts to connect.
    assert 1 + (outage - 2) // 60 <= len(unavailable) <= 1 + (outage + 10) // 60


@pytest.mark.parametrize(
    "outage",
    [
        5,
        pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
        pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(750)]),
    ],
)
def test_all_that_is_published_during_an_outage_is_handled_soon_after(
    project: Project, proxy: Proxy, publish: Publish, outage: float
) -> None:
    write_project(project)
    worker = start_watched(project)
    publish(range(5))
    worker.wait_for_jobs(range(5))
    (project.folder / "gate").touch()
    publish(range(5, 7))
    worker.wait_for("begin 6")

    proxy.cut()
    publish(range(7, 50))
    time.sleep(outage)
    (project.folder / "gate").unlink()
    proxy.resume()

    worker.wait_for_jobs(range(50))
    worker.wait_for(BACK)
    assert_said_once_a_minute(worker, outage)
    assert worker.stop() < 2
    assert worker.check(range(50), again=range(7)) == [], "again what had begun before"


def test_an_outage_is_logged_repeatedly_while_it_lasts(project: Project, proxy: Proxy) -> None:
    write_project(project)
    worker = start_watched(project, Times(report_every=0.5))

    proxy.cut()
    worker.wait_for(UNAVAILABLE, count=3)
    proxy.resume()
    worker.wait_for(BACK)

    worker.stop()
    log = worker.log()
    assert "for 2 s now" in log[0]
    assert "for 3 s now" in log[2]
    assert "Relé keeps trying" in log[0]
    assert "PUBSUB_EMULATOR_HOST names that address" in log[0]


@pytest.mark.parametrize("is_noticed", [False, True], ids=["at once", "when it is said"])
def test_a_signal_during_an_outage_ends_the_worker_within_two_seconds(
    project: Project, proxy: Proxy, publish: Publish, is_noticed: bool
) -> None:
    write_project(project)
    worker = start_watched(project)
    (project.folder / "gate").touch()
    publish(range(20))
    worker.wait_for("begin", count=2)
    proxy.cut()
    if is_noticed:
        worker.wait_for(UNAVAILABLE)
    # Their acknowledgements have nowhere to go.
    (project.folder / "gate").unlink()
    worker.wait_for("end", count=2)

    assert worker.stop() < 2

    assert [UNAVAILABLE in line or "are nacked" in line for line in worker.log()].count(False) == 0


@pytest.mark.only_engine("rele")  # Google's client takes 31 s and ends with status 1
def test_a_signal_during_an_outage_waits_for_no_confirmation(
    project: Project, proxy: Proxy, publish: Publish
) -> None:
    """With exactly-once delivery a handler waits for Pub/Sub's answer to its ack."""
    write_project(project, once=True)
    worker = start_watched(project)
    (project.folder / "gate").touch()
    publish(range(20))
    worker.wait_for("begin", count=2)
    proxy.cut()
    (project.folder / "gate").unlink()
    worker.wait_for("end", count=2)

    assert worker.stop() < 2


def test_a_connection_that_has_gone_silent_is_noticed_and_replaced(
    project: Project, proxy: Proxy, publish: Publish
) -> None:
    write_project(project)
    worker = start_watched(
        project, Times(keepalive=1.0, keepalive_timeout=0.5, connect_timeout=1.0)
    )

    proxy.stall()
    worker.wait_for(UNAVAILABLE)
    publish(range(5))
    proxy.resume()

    worker.wait_for_jobs(range(5))
    worker.wait_for(BACK)
    assert len(worker.log()) == 2
    worker.stop()
    assert worker.check(range(5), again=range(5)) == [], "again what was sent into the silence"
