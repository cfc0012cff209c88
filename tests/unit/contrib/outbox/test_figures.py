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
from rele.contrib.outbox.figures import figures_of, showing_figures
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.beside_worker import beside_worker
from rele.contrib.outbox.relaying.relay import OutboxRelay
from rele.status.providers import Status
from rele.status.snapshot import Figure
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


def shown(status: Status) -> dict[str, float]:
    return {figure.name: figure.value for figure in status.snapshot().figures}


def test_nobody_looks_at_the_database_until_somebody_asks(
    status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    seen = threading.Event()

    def look(alias: str) -> list[Figure]:
        looks.append(alias)
        seen.set()
        return []

    monkeypatch.setattr(module, "figures_of", look)
    with showing_figures([ALIAS]):
        assert not looks
        shown(status)
        assert seen.wait(30)
        shown(status)
    assert looks == [ALIAS], "the next look is not due yet"


def test_a_look_is_due_again_after_a_while(status: Status) -> None:
    now = 0.0
    with showing_figures([ALIAS], 15.0, lambda: now):
        wait_until(lambda: shown(status).get("rele_outbox_waiting") == 0, 30)
        rele.publish("orders", 1)
        now = 14.0
        assert shown(status)["rele_outbox_waiting"] == 0
        now = 15.0
        wait_until(lambda: shown(status).get("rele_outbox_waiting") == 1, 30)


def test_what_cannot_be_seen_again_does_not_stay(
    status: Status, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    with showing_figures([ALIAS], 15.0, lambda: now):
        wait_until(lambda: shown(status).get("rele_outbox_waiting") == 0, 30)
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE rele_outbox_outboxmessage RENAME TO hidden")

        now = 61.0

        assert shown(status) == {}
        text = f"The outbox in {ALIAS!r} is not known: The outbox cannot be used: no such table"
        wait_until(lambda: text in caplog.text, 30)


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
