"""Streams that Pub/Sub refuses until somebody does something: one line, with what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1

from rele.config import Config
from rele.engine.times import Times
from rele.subscription import Subscription
from rele.worker import make_worker
from tests.integration.conftest import stop
from tests.support import engines
from tests.support.inbox import Inbox
from tests.support.stub_servers import RefusingServer

pytestmark = pytest.mark.both_engines(slow="google")

TIMES = Times(outage_grace=0.1, first_pause=0.1, longest_pause=0.1, longest_random_pause=0.1)
"""A stream is started again and again at once."""

Run = Callable[..., Any]
RunOnIt = Callable[[Subscription], None]


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[RefusingServer]:
    """A server that the environment leads to."""
    with RefusingServer().listening() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        yield server


@pytest.fixture
def run_on_it(refusing: RefusingServer, project_id: str) -> Iterator[RunOnIt]:
    """Start a worker that makes no topics and no subscriptions."""
    workers = []

    def run(subscription: Subscription) -> None:
        config = Config({"GC_PROJECT_ID": project_id, "MIDDLEWARE": [], "RESOURCES": "ignore"})
        worker = make_worker([subscription], config, times=TIMES)
        worker.start()
        workers.append(worker)

    yield run
    for worker in workers:
        stop(worker)


class Records(logging.Handler):
    """What Relé and Google's client log, from WARNING."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.inbox = Inbox()

    def emit(self, record: logging.LogRecord) -> None:
        self.inbox.put((record.name, record.levelname, record.getMessage()))


@pytest.fixture
def records() -> Iterator[Inbox]:
    """The records of the test."""
    handler = Records()
    logging.getLogger().addHandler(handler)
    yield handler.inbox
    logging.getLogger().removeHandler(handler)


LOGGERS = {
    "rele": "rele.engine.native.consuming.interruptions",
    "google": "rele.engine.google.streams",
}
"""What reports the stream of a subscription, by the engine."""

ATTEMPTS = {"rele": 2, "google": 6}
"""How many streams a test waits for. Relé's own engine makes pauses between them."""


def the_only_line(records: Inbox, level: str = "ERROR") -> str:
    """What the one record says, which is about the stream."""
    [(name, of_level, text)] = records.items
    assert (name, of_level) == (LOGGERS[engines.in_use()], level)
    assert text.startswith("The stream of greetings is interrupted, for ")
    assert "None" not in text
    return str(text)


# The heartbeat thread of Google's client may write to a stream that was refused just now, and then
# ends with the refusal as its error. The next stream has a heartbeat thread of its own.
@pytest.mark.filterwarnings(
    "ignore:Exception in thread Thread-Heartbeater:pytest.PytestUnhandledThreadExceptionWarning"
)
@pytest.mark.parametrize("details", ["not this way", "", None])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("PERMISSION_DENIED", "roles/pubsub.subscriber has."),
        ("UNAUTHENTICATED", "roles/pubsub.subscriber has."),
        ("NOT_FOUND", "RELE['RESOURCES'] has to be 'apply' or 'create' for that."),
        ("FAILED_PRECONDITION", "One that pushes or exports its messages has to be changed"),
        ("INVALID_ARGUMENT", "gcloud pubsub subscriptions describe greetings"),
        ("UNIMPLEMENTED", "see where RELE['CLIENT_OPTIONS'] leads."),
        ("OUT_OF_RANGE", "see where RELE['CLIENT_OPTIONS'] leads."),
    ],
)
def test_a_refusal_is_one_line_with_the_remedy(
    refusing: RefusingServer,
    run_on_it: RunOnIt,
    records: Inbox,
    code: str,
    remedy: str,
    details: str | None,
) -> None:
    refusing.code, refusing.details = grpc.StatusCode[code], details

    run_on_it(Subscription(print, "greetings"))
    records.wait_for(1)
    refusing.calls.wait_for(ATTEMPTS[engines.in_use()])

    text = the_only_line(records)
    assert remedy in text
    assert (details or f"Pub/Sub ended it with {code}, without a reason") in text


def test_a_stream_that_is_ended_in_order_is_a_warning(
    refusing: RefusingServer, run_on_it: RunOnIt, records: Inbox
) -> None:
    run_on_it(Subscription(print, "greetings"))
    records.wait_for(1)
    refusing.calls.wait_for(ATTEMPTS[engines.in_use()])

    text = the_only_line(records, "WARNING")
    assert text.endswith("Pub/Sub ended it with OK, without a reason. Relé keeps restarting it.")


@pytest.mark.parametrize("pubsub_server", ["embedded"], indirect=True)  # Google's cannot detach
def test_a_detached_subscription_is_one_line_with_the_remedy(
    run_worker: Run, project_id: str, records: Inbox
) -> None:
    run_worker([Subscription(print, "greetings")])

    with pubsub_v1.PublisherClient() as client:
        path = client.subscription_path(project_id, "greetings")
        client.detach_subscription(request={"subscription": path})

    records.wait_for(1)
    assert "(detached: true) never gets a message again: delete it" in the_only_line(records)
