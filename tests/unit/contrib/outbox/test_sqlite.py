"""What is different where only one relay can work."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

import rele
from rele.contrib.outbox import presence
from rele.contrib.outbox.models import OutboxMessage, Relay
from rele.contrib.outbox.relay import OutboxRelay
from rele.exceptions import ConfigurationError
from tests.unit.contrib.outbox.conftest import ALIAS, REFUSED, Servers, waiting

pytestmark = pytest.mark.usefixtures("sqlite")


def note_relay(name: str, seconds_ago: float) -> None:
    seen_at = timezone.now() - timedelta(seconds=seconds_ago)
    Relay.objects.using(ALIAS).create(name=name, seen_at=seen_at)


@pytest.mark.parametrize("method", ["run", "run_once"])
def test_a_second_relay_is_refused(method: str, make_relay: Callable[..., OutboxRelay]) -> None:
    rele.publish("orders", 1)
    note_relay("other:1", seconds_ago=1)

    with pytest.raises(ConfigurationError, match=r"The relay other:1 is at work, and on SQLite"):
        getattr(make_relay(), method)()

    assert [relay.name for relay in Relay.objects.using(ALIAS).all()] == ["other:1"]
    assert len(waiting()) == 1


def test_one_that_was_killed_counts_as_gone(
    make_relay: Callable[..., OutboxRelay], servers: Servers
) -> None:
    rele.publish("orders", 1)
    note_relay("other:1", seconds_ago=presence.GONE_AFTER.total_seconds() + 1)

    make_relay().run_once()

    assert servers.data == ["1"]


def test_the_same_process_may_begin_again(make_relay: Callable[..., OutboxRelay]) -> None:
    note_relay(presence.own_name(), seconds_ago=1)

    assert make_relay().run_once() == (0, 0)
    assert presence.own_name().endswith(f":{os.getpid()}")


def test_a_message_that_is_discarded_while_it_is_sent_fails_quietly(
    make_relay: Callable[..., OutboxRelay],
) -> None:
    class Discarding(Servers):
        def flush(self, timeout: float | None = None) -> None:
            OutboxMessage.objects.using(ALIAS).all().delete()

    servers = Discarding()
    servers.errors["1"] = REFUSED
    rele.publish("orders", 1)

    assert make_relay(servers).run_once() == (0, 1)

    assert waiting() == []
