"""How full the outbox is, as the status of a process has it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

import rele
from rele.config import Config
from rele.contrib.outbox import figures as module
from rele.contrib.outbox.figures import OutboxFigures, figures_of, showing_figures
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.beside_worker import beside_worker
from rele.contrib.outbox.relaying.relay import OutboxRelay
from rele.status.providers import Status
from rele.status.snapshot import Complaint, Probe
from tests.support.outbox import ALIAS
from tests.support.polling import wait_until

pytestmark = pytest.mark.usefixtures("sqlite")


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> Status:
    """The status of this process, which the other tests do not see."""
    status = Status()
    monkeypatch.setattr(module, "STATUS", status)
    return status


def publish(*states: State) -> None:
    for state in states:
        rele.publish("orders", 1)
        OutboxMessage.objects.using(ALIAS).filter(
            id=OutboxMessage.objects.using(ALIAS).latest("id").id
        ).update(state=state)


def values() -> dict[str, float]:
    return {figure.name: figure.value for figure in figures_of(ALIAS)}


def test_an_empty_outbox_has_all_figures() -> None:
    assert values() == {
        "rele_outbox_waiting": 0,
        "rele_outbox_delayed": 0,
        "rele_outbox_parked": 0,
        "rele_outbox_scheduled": 0,
        "rele_outbox_lag_seconds": 0,
        "rele_outbox_relays": 0,
    }
    assert {figure.labels["database"] for figure in figures_of(ALIAS)} == {ALIAS}


def test_messages_are_counted_by_what_is_to_become_of_them(first: OutboxRelay) -> None:
    publish(State.WAITING, State.WAITING, State.DELAYED, State.PARKED, State.SENT, State.SCHEDULED)
    long_ago = timezone.now() - timedelta(seconds=90)
    OutboxMessage.objects.using(ALIAS).filter(state=State.PARKED).update(created_at=long_ago)

    found = values()

    assert found.pop("rele_outbox_lag_seconds") < 60
    assert found == {
        "rele_outbox_waiting": 2,
        "rele_outbox_delayed": 1,
        "rele_outbox_parked": 1,
        "rele_outbox_scheduled": 1,
        "rele_outbox_relays": 1,
    }
    OutboxMessage.objects.using(ALIAS).filter(state=State.WAITING).update(created_at=long_ago)
    assert values()["rele_outbox_lag_seconds"] == pytest.approx(90, abs=30)


def test_nobody_looks_at_the_database_until_somebody_asks(
    status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    seen = threading.Event()

    def look(alias: str) -> list[module.Figure]:
        looks.append(alias)
        seen.set()
        return []

    monkeypatch.setattr(module, "figures_of", look)
    with showing_figures([ALIAS]):
        assert not looks
        status.snapshot()
        assert seen.wait(30)
        status.snapshot()
    assert looks == [ALIAS], "the next look is not due yet"


def test_a_look_is_due_again_after_the_interval() -> None:
    now = 0.0
    figures = OutboxFigures([ALIAS], 15.0, lambda: now)
    figures.begin()

    def waiting() -> float | None:
        found = {figure.name: figure.value for figure in figures.contribution().figures}
        return found.get("rele_outbox_waiting")

    wait_until(lambda: waiting() == 0, 30)
    rele.publish("orders", 1)
    now = 14.0
    assert waiting() == 0
    now = 15.0
    wait_until(lambda: waiting() == 1, 30)
    figures.end()


def test_a_database_that_cannot_be_used_makes_the_process_not_ready() -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE rele_outbox_outboxmessage RENAME TO hidden")
    figures = OutboxFigures([ALIAS])

    figures.look()

    [complaint] = figures.contribution().complaints
    assert (complaint.probe, complaint.subject) == (Probe.READY, f"outbox in {ALIAS!r}")
    assert "The outbox cannot be used: no such table" in complaint.reason
    assert figures.contribution().figures == ()


def test_a_database_that_does_not_answer_makes_it_not_ready_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    asked, answers = threading.Event(), threading.Event()

    def look(alias: str) -> list[module.Figure]:
        asked.set()
        answers.wait(30)
        return []

    monkeypatch.setattr(module, "figures_of", look)
    figures = OutboxFigures([ALIAS], 15.0, lambda: now)
    figures.begin()
    figures.contribution()
    assert asked.wait(30)
    assert figures.contribution().complaints == ()

    now = 61.0

    reason = "The database has not answered for 61 s."
    assert figures.contribution().complaints == (
        Complaint(Probe.READY, f"outbox in {ALIAS!r}", reason),
    )
    figures.end()
    answers.set()


@pytest.mark.parametrize("relay", [True, False])
def test_they_are_shown_beside_a_worker(status: Status, relay: bool) -> None:
    config = Config(
        {
            "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
            "OUTBOX": {"USING": ALIAS, "BACKEND": "tests.support.outbox.FakePubSub"},
        }
    )
    context = beside_worker(config, {"relay": relay, "batch_size": 10, "batch_bytes": 1000})
    assert context is not None

    def relays() -> float | None:
        found = {figure.name: figure.value for figure in status.snapshot().figures}
        return found.get("rele_outbox_relays")

    with context:
        wait_until(lambda: relays() == int(relay), 30)
    assert relays() is None
