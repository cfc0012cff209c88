"""Publishing where no thread can be started, as in a container at its limit of pids."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.project import Project, read_until
from tests.support.proxy import Proxy
from tests.support.publish_outcomes import NOTING

Events = Callable[[], set[int]]


OURS = pytest.mark.parametrize("engine", ["rele"])
"""Google's client loses messages, and never publishes again."""


def run(project: Project, program: str) -> Any:
    """Run ``program`` to its end, and return what it has printed as its last line, from JSON."""
    status, output = project.run(str(project.write("program.py", program)))
    assert status == 0, output
    return json.loads(output.splitlines()[-1])


@OURS
def test_messages_fail_clearly_until_threads_can_be_started(
    project: Project, events: Events, engine: str
) -> None:
    project.write_settings(ENGINE=engine, MIDDLEWARE=NOTING)

    reported = run(
        project,
        """
        import json
        import rele
        from tests.support import publish_outcomes as outcomes
        from tests.support.thread_limit import ThreadLimit

        limit = ThreadLimit()
        limit.begin()
        futures = [rele.publish("events", n, raise_exception=False) for n in range(50)]
        errors = [future.exception(timeout=15) for future in futures]
        limit.end()
        rele.publish("events", 50, blocking=True, timeout=30)
        assert [data for data, _ in outcomes.failed] == list(range(50))
        assert outcomes.succeeded == [50]
        print(json.dumps([f"{type(error).__name__}: {error}" for error in errors]))
        """,
    )

    assert len(reported) == 50
    [text] = set(reported)
    assert text.startswith("ThreadStartError: No thread can be started for publishing")
    assert "raise the limit of threads" in text
    assert text.endswith("The next publish tries again.")
    assert events() == {50}


@OURS
@pytest.mark.parametrize("ordering_key", ["", "customer-1"])
def test_a_blocking_publish_raises_that_no_thread_can_be_started(
    project: Project, events: Events, engine: str, ordering_key: str
) -> None:
    project.write_settings(ENGINE=engine, MIDDLEWARE=NOTING)

    reported = run(
        project,
        f"""
        import json, time
        import rele
        from rele.exceptions import ThreadStartError
        from tests.support import publish_outcomes as outcomes
        from tests.support.thread_limit import ThreadLimit

        limit = ThreadLimit()
        limit.begin()
        began = time.monotonic()
        errors = []
        for number in range(5):
            try:
                rele.publish("events", number, blocking=True, timeout=30,
                             ordering_key="{ordering_key}")
            except ThreadStartError as error:
                errors.append(str(error))
        seconds = time.monotonic() - began
        limit.end()
        rele.publish("events", 5, blocking=True, timeout=30, ordering_key="{ordering_key}")
        print(json.dumps([len(errors), len(outcomes.failed), seconds]))
        """,
    )

    raised, failed, seconds = reported
    assert (raised, failed) == (5, 5)
    assert seconds < 10
    assert events() == {5}


@pytest.fixture
def proxy(project: Project, embedded_server: str, events: Events) -> Iterator[Proxy]:
    """What the program reaches its server through, and ``events`` does not."""
    with Proxy(embedded_server) as proxy:
        project.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        yield proxy


PUBLISH_DURING_BOTH = """
    import json, os, time
    from concurrent.futures import wait
    from pathlib import Path
    import rele
    from tests.support import publish_outcomes as outcomes
    from tests.support.thread_limit import ThreadLimit

    limit = ThreadLimit()
    futures = [rele.publish("events", 0, blocking=True, timeout=30)]
    print("published", flush=True)
    limit.begin()
    while not Path("is-over").exists():
        futures.append(rele.publish("events", len(futures), raise_exception=False))
        time.sleep(1 / 40)
    limit.end()
    pending = wait(futures, timeout=30).not_done
    later = rele.publish("events", len(futures), blocking=True, timeout=30)
    rele.flush(30)
    reported = len(outcomes.succeeded) + len(outcomes.failed)
    accepted = [data for data in outcomes.succeeded]
    print(json.dumps([len(futures) + 1, len(pending), reported, accepted]), flush=True)
"""


@OURS
@pytest.mark.parametrize(
    "outage", [8, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(180)])]
)
def test_every_message_of_an_outage_without_threads_has_an_outcome(
    project: Project, events: Events, proxy: Proxy, engine: str, outage: float
) -> None:
    project.write_settings(ENGINE=engine, MIDDLEWARE=NOTING)
    process = project.start(str(project.write("program.py", PUBLISH_DURING_BOTH)))
    read_until(process.stdout, "published")

    proxy.cut()
    time.sleep(outage)
    proxy.resume()
    project.write("is-over", "")

    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    published, pending, reported, accepted = json.loads(output.splitlines()[-1])
    assert published > outage * 20
    assert (pending, reported) == (0, published)
    assert events() == set(accepted) == set(range(published))


@OURS
def test_a_thread_that_grpc_cannot_start_stops_no_later_publish_and_no_exit(
    project: Project, events: Events, engine: str
) -> None:
    """gRPC has a thread for as long as calls are under way, and starts it again for the next.

    It sends the request before it starts the thread, so that sending it again made a duplicate.
    """
    project.write_settings(ENGINE=engine, MIDDLEWARE=NOTING, PUBLISHER_TIMEOUT=20)

    reported = run(
        project,
        """
        import json, threading, time
        import rele
        from tests.support import publish_outcomes as outcomes
        from tests.support.thread_limit import ThreadLimit

        limit = ThreadLimit()
        for round in range(5):
            rele.publish("events", 2 * round, blocking=True)
            time.sleep(0.2)  # gRPC's thread ends: nothing is under way
            limit.begin()
            future = rele.publish("events", 2 * round + 1, raise_exception=False)
            time.sleep(0.5)  # it is tried in vain
            limit.end()
            future.exception()
        print(json.dumps(outcomes.succeeded))
        """,
    )

    assert reported == list(range(10))
    assert events() == set(range(10))
