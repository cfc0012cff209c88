from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

import rele
from rele.config import Config
from rele.contrib.outbox.models import Relay
from rele.contrib.outbox.relaying import beside_worker as beside
from rele.contrib.outbox.relaying.beside_worker import RelayWatch, relaying, watching
from rele.contrib.outbox.relaying.relays import make_relays
from rele.contrib.outbox.relaying.waiting import RelayWaiter
from rele.exceptions import ConfigurationError
from tests.support.inbox import Inbox
from tests.support.outbox import ALIAS, FakePubSub, waiting
from tests.support.recorder import Recorder, raising

pytestmark = pytest.mark.usefixtures("sqlite")


class Quick(FakePubSub):
    """What the relay sends through."""


@pytest.fixture
def config() -> Config:
    return Config({"OUTBOX": {"USING": ALIAS, "BACKEND": f"{__name__}.Quick"}})


class TestRelaying:
    def test_a_relay_works_within_the_block(self, config: Config, hooks: Recorder) -> None:
        sent = Inbox()
        hooks.actions["post_publish_success"] = lambda topic, data, attributes: sent.put(data)

        with relaying(config) as begin:
            begin()
            rele.publish("orders", 1)
            sent.wait_for(1)

        assert Relay.objects.using(ALIAS).count() == 0
        rele.publish("orders", 2)
        assert [bytes(row.data) for row in waiting()] == [b"2"]
        assert not any(thread.name.startswith("rele-outbox") for thread in threading.enumerate())

    @pytest.mark.parametrize("begins", [True, False])
    def test_ends_when_the_block_raises(self, config: Config, begins: bool) -> None:
        def work() -> None:
            with relaying(config) as begin:
                if begins:
                    begin()
                raise SystemExit(0)

        with pytest.raises(SystemExit):
            work()

        assert Relay.objects.using(ALIAS).count() == 0

    def test_sends_nothing_before_it_may_begin(self, config: Config) -> None:
        rele.publish("orders", 1)

        with relaying(config):
            assert Relay.objects.using(ALIAS).count() == 1

        assert len(waiting()) == 1

    def test_what_keeps_it_from_working_is_raised_before_the_block(self, config: Config) -> None:
        other = make_relays(config)
        other.begin()
        try:
            with pytest.raises(ConfigurationError, match="is running"), relaying(config):
                pytest.fail("the block is run")
        finally:
            other.end()

    def test_a_relay_that_ends_says_so(
        self, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(RelayWaiter, "open", raising(RuntimeError("broken")))

        with relaying(config) as begin:
            begin()

        assert "The relay has ended" in caplog.text
        assert Relay.objects.using(ALIAS).count() == 0


Look = Callable[[], list[str]]


class TestWatching:
    @pytest.fixture
    def look(self, caplog: pytest.LogCaptureFixture) -> Look:
        """Look once more, and return the warnings of that."""
        watch = RelayWatch(ALIAS)

        def look() -> list[str]:
            caplog.clear()
            watch.check()
            return [record.getMessage() for record in caplog.records]

        return look

    def test_warns_at_the_second_look_in_vain_and_says_what_to_do(self, look: Look) -> None:
        assert look() == []

        [warning] = look()

        assert warning.startswith("No relay has been running for the outbox in 'outbox' for 0 s: ")
        assert "`manage.py rele relay`" in warning

    def test_warns_once(self, look: Look) -> None:
        assert [len(look()) for _ in range(5)] == [0, 1, 0, 0, 0]

    def test_warns_again_when_one_has_been_there(self, look: Look) -> None:
        look()
        look()
        Relay.objects.using(ALIAS).create(name="one:1")
        assert look() == []
        Relay.objects.using(ALIAS).update(seen_at=timezone.now() - timedelta(minutes=5))

        assert [len(look()) for _ in range(4)] == [0, 1, 0, 0]

    def test_one_that_is_there_is_well(self, look: Look) -> None:
        Relay.objects.using(ALIAS).create(name="one:1")

        assert [look() for _ in range(3)] == [[]] * 3

    def test_says_for_how_long(self, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
        look()
        now = beside.time.monotonic()
        monkeypatch.setattr(beside.time, "monotonic", lambda: now + 120)

        [warning] = look()

        assert "for 120 s" in warning

    def test_looks_again_and_again_within_the_block(
        self, config: Config, caplog: pytest.LogCaptureFixture
    ) -> None:
        warned = Inbox()
        handler: Any = logging.Handler()
        handler.emit = warned.put
        logger = logging.getLogger("rele.contrib.outbox.relaying.beside_worker")
        logger.addHandler(handler)
        try:
            with watching(config, interval=0.01) as begin:
                begin()
                warned.wait_for(1)
        finally:
            logger.removeHandler(handler)

        assert not any(thread.name.startswith("rele-outbox") for thread in threading.enumerate())

    def test_an_unavailable_database_is_left_to_others(
        self, look: Look, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Relay.objects.using(ALIAS).create(name="one:1")

        def fail(alias: str) -> None:
            raise beside.AnyDatabaseError("away")

        monkeypatch.setattr(beside, "present_relays", fail)

        assert [look() for _ in range(3)] == [[]] * 3
