"""What is different where only one relay can work."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

import rele
from rele.contrib.outbox.exceptions import OutboxError
from rele.contrib.outbox.models import OutboxMessage, Relay
from rele.contrib.outbox.relaying import sole_ownership
from rele.contrib.outbox.relaying.heartbeat import Heartbeat
from rele.contrib.outbox.relaying.presence import present_relays
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from rele.exceptions import ConfigurationError
from tests.support.backends import HeldBackend
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, waiting
from tests.support.recorder import raising

pytestmark = pytest.mark.usefixtures("sqlite")


MakeRelay = Callable[..., OutboxRelay]


def name_of_the_first() -> str:
    [name] = present_relays(ALIAS)
    return name


@pytest.mark.parametrize("method", ["run", "run_once"])
def test_a_second_relay_of_the_process_is_refused(
    method: str, first: OutboxRelay, make_relay: MakeRelay
) -> None:
    rele.publish("orders", 1)
    name = name_of_the_first()

    with pytest.raises(
        ConfigurationError,
        match=f"The relay {re.escape(name)} is running, and on SQLite there can only",
    ):
        getattr(make_relay(), method)()

    assert name_of_the_first() == name
    assert len(waiting()) == 1


def test_one_that_gives_no_sign_is_still_the_only_one(
    first: OutboxRelay, make_relay: MakeRelay
) -> None:
    Relay.objects.using(ALIAS).update(seen_at=timezone.now() - timedelta(days=2))

    with pytest.raises(ConfigurationError, match=f":{os.getpid()} is running"):
        make_relay().run_once()


@pytest.mark.parametrize("method", ["begin", "run_once"])
def test_one_that_has_ended_makes_room(
    method: str, make_relay: MakeRelay, servers: FakePubSub
) -> None:
    ended = make_relay()
    getattr(ended, method)()
    ended.end()
    rele.publish("orders", 1)

    assert make_relay().run_once() == Tally(1, 0)


def test_signs_of_life_of_those_who_were_killed_keep_nobody_off_and_are_removed(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    Relay.objects.using(ALIAS).create(name="killed:1")
    rele.publish("orders", 1)
    relay = make_relay()

    relay.begin()
    try:
        assert name_of_the_first().endswith(f":{os.getpid()}")
        relay.run_once()
    finally:
        relay.end()

    assert servers.data == ["1"]


def test_gives_signs_of_life_while_it_sends_once(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sole_ownership, "HEARTBEAT_SECONDS", 0.01)
    backend = HeldBackend()
    write, writes = Heartbeat.write, 0

    def write_until_third(heartbeat: Heartbeat, *arguments: Any) -> None:
        nonlocal writes
        write(heartbeat, *arguments)
        assert Relay.objects.using(ALIAS).count() == 1
        writes += bool(backend.messages)
        if writes == 3:
            backend.settle_the_rest()

    monkeypatch.setattr(Heartbeat, "write", write_until_third)
    rele.publish("orders", 1)

    assert make_relay(backend).run_once() == Tally(1, 0)

    assert writes >= 3


def test_an_error_that_has_nothing_to_do_with_the_tables_does_not_ask_for_a_migration(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Heartbeat,
        "write",
        raising(IntegrityError("UNIQUE constraint failed: name\nDETAIL")),
    )

    with pytest.raises(OutboxError) as raised:
        make_relay().begin()

    assert str(raised.value) == "The outbox cannot be used: UNIQUE constraint failed: name."


def test_a_message_that_is_discarded_while_it_is_sent_fails_quietly(
    make_relay: Callable[..., OutboxRelay],
) -> None:
    class Discarding(FakePubSub):
        def flush(self, timeout: float | None = None) -> None:
            OutboxMessage.objects.using(ALIAS).all().delete()

    servers = Discarding()
    servers.errors["1"] = REFUSED
    rele.publish("orders", 1)

    assert make_relay(servers).run_once() == Tally(0, 1)

    assert waiting() == []
