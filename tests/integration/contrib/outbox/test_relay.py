from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from google.api_core.exceptions import ServiceUnavailable

import rele
from rele.backends import Message
from rele.config import Config
from rele.contrib.outbox.models import OutboxMessage, Relay, State
from rele.contrib.outbox.relaying import failures, relay
from rele.contrib.outbox.relaying.reading import Reader
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from rele.contrib.outbox.relaying.relays import make_relays
from rele.contrib.outbox.relaying.rows import Page
from rele.exceptions import ConfigurationError, NoProjectError
from rele.messages.explaining import explained
from rele.sending.publication import failed_attributes
from tests.support.backends import HeldBackend
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, InThread, make_due, waiting
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("database")

MakeRelay = Callable[..., OutboxRelay]


def publish(*data: int | str, key: str = "") -> None:
    attributes = {"ordering_key": key} if key else {}
    for each in data:
        rele.publish("orders", each, **attributes)


def states() -> dict[str, State]:
    return {bytes(row.data).decode(): State(row.state) for row in waiting()}


class TestSending:
    def test_sends_what_was_committed_and_deletes_it(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        future = rele.publish("orders", {"id": 1}, country="ES", ordering_key="customer-7")

        assert make_relay().run_once() == Tally(1, 0)

        [message] = servers.accepted
        assert (message.topic, message.json()) == ("orders", {"id": 1})
        assert message.ordering_key == "customer-7"
        assert message.attributes["country"] == "ES"
        assert message.attributes["event_id"] == future.result(0)
        assert waiting() == []

    def test_keeps_what_is_sent_for_the_configured_time(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish(1)

        make_relay(keep_sent=True).run_once()
        make_relay(keep_sent=True).run_once()

        [row] = waiting()
        assert row.state == State.SENT
        assert row.sent_at is not None
        assert servers.data == ["1"]

    def test_sends_in_batches(self, servers: FakePubSub, make_relay: MakeRelay) -> None:
        publish(*range(5))

        assert make_relay(batch_size=2).run_once() == Tally(5, 0)

        assert servers.requests == [["0", "1"], ["2", "3"], ["4"]]

    def test_the_success_hook_runs_when_the_message_is_marked(
        self, servers: FakePubSub, make_relay: MakeRelay, hooks: Recorder
    ) -> None:
        rele.publish("orders", {"id": 1}, country="ES")
        hooks.calls.clear()
        left: list[int] = []
        hooks.actions["post_publish_success"] = lambda *_: left.append(len(waiting()))

        make_relay().run_once()

        topic, data, attributes = hooks.arguments_of("post_publish_success")
        assert (topic, data, attributes["country"]) == ("orders", {"id": 1}, "ES")
        assert hooks.names == ["post_publish_success", "post_publish"]
        assert left == [0]


class TestFailing:
    def test_waits_for_longer_and_longer_and_says_why(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish(1)
        servers.errors["1"] = REFUSED
        pauses = []

        for _ in range(3):
            before = timezone.now()
            assert make_relay().run_once() == Tally(0, 1)
            next_attempt_at = waiting()[0].next_attempt_at
            pauses.append((next_attempt_at - timezone.now(), next_attempt_at - before))
            make_due()

        [row] = waiting()
        assert (row.state, row.attempts) == (State.DELAYED, 3)
        assert row.last_error == "InvalidArgument: 400 refused"
        for seconds, (least, most) in zip((2, 4, 8), pauses, strict=True):
            assert least <= timedelta(seconds=seconds) <= most

    def test_is_not_tried_before_its_time(self, servers: FakePubSub, make_relay: MakeRelay) -> None:
        publish(1)
        servers.errors["1"] = REFUSED
        make_relay().run_once()
        servers.errors.clear()

        assert make_relay().run_once() == Tally(0, 0)
        make_due()
        assert make_relay().run_once() == Tally(1, 0)

    def test_no_pause_is_longer_than_ten_minutes(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish(1)
        servers.errors["1"] = REFUSED
        OutboxMessage.objects.using(ALIAS).update(attempts=900)

        make_relay(max_attempts=1000).run_once()

        pause = waiting()[0].next_attempt_at - timezone.now()
        assert timedelta(minutes=9) < pause <= timedelta(minutes=10)

    def test_keeps_its_event_id(self, servers: FakePubSub, make_relay: MakeRelay) -> None:
        event_id = rele.publish("orders", 1).result(0)
        servers.errors["1"] = REFUSED
        make_relay().run_once()
        make_due()
        servers.errors.clear()

        make_relay().run_once()

        assert servers.accepted[0].attributes["event_id"] == event_id

    def test_is_parked_after_the_last_attempt_and_the_failure_hook_runs_once(
        self,
        servers: FakePubSub,
        make_relay: MakeRelay,
        hooks: Recorder,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        attributes: list[str] = []
        hooks.actions["post_publish_failure"] = lambda *_: attributes.append(
            failed_attributes()["country"]
        )
        rele.publish("orders", {"id": 1}, country="ES")
        hooks.calls.clear()
        servers.errors['{"id": 1}'] = REFUSED

        for _ in range(5):
            make_relay(max_attempts=3).run_once()
            make_due()

        assert states() == {'{"id": 1}': State.PARKED}
        assert len(servers.requests) == 3
        assert hooks.names == ["post_publish_failure"]
        assert hooks.arguments_of("post_publish_failure") == ("orders", REFUSED, {"id": 1})
        assert attributes == ["ES"]
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "is parked after 3 attempts" in record.getMessage()

    def test_an_outage_parks_nothing(self, servers: FakePubSub, make_relay: MakeRelay) -> None:
        publish(1)
        servers.errors["1"] = ServiceUnavailable("away")

        for _ in range(5):
            make_relay(max_attempts=1).run_once()
            make_due()

        [row] = waiting()
        assert (row.state, row.attempts) == (State.WAITING, 0)
        assert "away" in row.last_error

    def test_takes_none_of_its_request_with_it(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish("good", "bad", "fine")
        servers.errors['"bad"'] = REFUSED

        for _ in range(3):
            make_relay(max_attempts=3).run_once()
            make_due()

        assert sorted(servers.data) == ['"fine"', '"good"']
        assert states() == {'"bad"': State.PARKED}

    def test_a_backend_that_raises_is_no_end_of_the_relay(self, make_relay: MakeRelay) -> None:
        class Broken(HeldBackend):
            def send(self, messages: Sequence[Message]) -> list[Future[str]]:
                raise RuntimeError("broken")

        publish(1)

        assert make_relay(Broken()).run_once() == Tally(0, 1)

        assert waiting()[0].last_error == "RuntimeError: broken"

    def test_says_in_one_line_what_google_does_not_accept(
        self, servers: FakePubSub, make_relay: MakeRelay, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger=failures.__name__)
        publish(1)
        servers.errors["1"] = explained(REFUSED, "the topic does not exist. Make it.")

        for _ in range(2):
            make_relay(max_attempts=2).run_once()
            make_due()

        assert waiting()[0].last_error == "the topic does not exist. Make it."
        tried_again, of_google, parked = caplog.records
        for record in (tried_again, parked):
            assert record.getMessage().endswith(": the topic does not exist. Make it.")
            assert record.exc_info is None
        assert of_google.levelno == logging.DEBUG
        assert of_google.exc_info is not None
        assert of_google.exc_info[1] is REFUSED

    def test_says_once_a_batch_what_is_tried_again(
        self, servers: FakePubSub, make_relay: MakeRelay, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(*range(100))
        servers.errors["7"] = REFUSED

        make_relay().run_once()

        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert "100 message(s) were not accepted and will be retried" in record.getMessage()
        assert "InvalidArgument: 400 refused" in record.getMessage()


class TestOrder:
    def test_those_after_a_failed_one_of_its_key_wait_for_it(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish(1, 2, 3, key="a")
        servers.errors["1"] = REFUSED
        make_relay().run_once()
        publish(4, key="a")
        publish(5, key="b")

        make_relay().run_once()

        assert servers.data == ["5"]
        assert [row.attempts for row in waiting()] == [1, 0, 0, 0], "only the first was refused"

        servers.errors.clear()
        make_due()
        make_relay().run_once()
        assert servers.data == ["5", "1", "2", "3", "4"]

    def test_goes_on_when_it_is_parked(self, servers: FakePubSub, make_relay: MakeRelay) -> None:
        publish(1, 2, key="a")
        publish(3, key="a")
        servers.errors["1"] = REFUSED

        for _ in range(2):
            make_relay(max_attempts=2).run_once()
            make_due()
        make_relay(max_attempts=2).run_once()

        assert servers.data == ["2", "3"]
        assert states() == {"1": State.PARKED}

    def test_a_key_that_waits_hides_nothing_that_comes_after_it(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish("bad", *range(10), key="a")
        servers.errors['"bad"'] = REFUSED
        make_relay(batch_size=3).run_once()
        publish("other")

        assert make_relay(batch_size=3).run_once() == Tally(1, 0)

        assert servers.data == ['"other"']

    def test_a_key_that_waits_is_whole_again_when_its_time_has_come(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish("bad", *range(10), key="a")
        servers.errors['"bad"'] = REFUSED
        make_relay(batch_size=3).run_once()
        publish(10, key="a")
        make_relay(batch_size=3).run_once()
        servers.errors.clear()
        make_due()

        make_relay(batch_size=3).run_once()

        assert servers.data == ['"bad"', *map(str, range(11))]

    def test_keys_of_two_topics_do_not_wait_for_each_other(
        self, servers: FakePubSub, make_relay: MakeRelay
    ) -> None:
        publish(1, key="a")
        servers.errors["1"] = REFUSED
        make_relay().run_once()
        rele.publish("photos", 2, ordering_key="a")

        make_relay().run_once()

        assert servers.data == ["2"]


class TestRunning:
    @pytest.fixture
    def run(self) -> Any:
        """Run a relay in a thread until the test ends."""
        running: list[tuple[OutboxRelay, InThread]] = []

        def run(relay: OutboxRelay) -> OutboxRelay:
            running.append((relay, InThread(relay.run)))
            return relay

        yield run
        for each, thread in running:
            each.stop()
            thread.join(5)

    @pytest.fixture
    def success(self, hooks: Recorder) -> threading.Event:
        """Set when a message was sent."""
        event = threading.Event()
        hooks.actions["post_publish_success"] = lambda *_: event.set()
        return event

    def test_sends_what_comes(
        self, run: Any, make_relay: MakeRelay, servers: FakePubSub, success: threading.Event
    ) -> None:
        run(make_relay())
        publish(1)
        assert success.wait(20)
        success.clear()
        publish(2)
        assert success.wait(20)

        assert servers.data == ["1", "2"]

    def test_is_present_until_it_ends(self, make_relay: MakeRelay) -> None:
        relay = make_relay()
        relay.begin()
        assert Relay.objects.using(ALIAS).count() == 1
        relay.stop()

        InThread(relay.run).join()

        assert Relay.objects.using(ALIAS).count() == 0

    @pytest.mark.parametrize(
        "error", [DatabaseError("away"), InterfaceError("closed"), RuntimeError("a mistake")]
    )
    def test_goes_on_after_a_failure_and_logs_it_once(
        self,
        run: Any,
        make_relay: MakeRelay,
        success: threading.Event,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: Exception,
    ) -> None:
        failures = [error, error]
        read = Reader.read

        def fail_twice(*arguments: Any) -> Page:
            if failures:
                raise failures.pop()
            return read(*arguments)

        monkeypatch.setattr(Reader, "read", fail_twice)
        monkeypatch.setattr(relay, "_PAUSE_AFTER_FAILURE", 0.01)
        publish(1)

        run(make_relay())

        assert success.wait(20)
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == (2 if isinstance(error, RuntimeError) else 1)

    def test_stops_at_once_while_pubsub_does_not_answer(self, make_relay: MakeRelay) -> None:
        publish(1)
        backend = HeldBackend()
        asked = threading.Event()
        backend.flush = lambda timeout=None: asked.set()  # type: ignore[method-assign]
        relay = make_relay(backend)
        thread = InThread(relay.run)
        assert asked.wait(20)

        relay.stop()

        thread.join(2)
        [row] = waiting()
        assert (row.state, row.attempts) == (State.WAITING, 0)

    def test_stops_at_once_while_there_is_nothing_to_do(
        self, make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        relay = make_relay()
        looked = threading.Event()
        read = Reader.read
        monkeypatch.setattr(Reader, "read", lambda *arguments: (looked.set(), read(*arguments))[1])
        thread = InThread(relay.run)
        assert looked.wait(20)

        relay.stop()

        thread.join(2)


class TestMaking:
    def test_uses_the_backend_of_the_settings(self) -> None:
        config = Config({"OUTBOX": {"USING": ALIAS, "BACKEND": f"{__name__}.FakePubSub"}})
        publish(1)

        assert make_relays(config).run_once() == Tally(1, 0)

    @pytest.mark.parametrize("path", ["no path", "no_such_module.Backend", "rele.NoBackend"])
    def test_a_backend_that_cannot_be_imported_is_a_wrong_configuration(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match=r"RELE\['OUTBOX'\]\['BACKEND'\] = "):
            make_relays(Config({"OUTBOX": {"USING": ALIAS, "BACKEND": path}}))

    def test_the_outbox_cannot_be_relayed_to_itself(self) -> None:
        path = "rele.contrib.outbox.backend.OutboxBackend"

        with pytest.raises(ConfigurationError, match="itself"):
            make_relays(Config({"OUTBOX": {"USING": ALIAS, "BACKEND": path}}))

    def test_pubsub_needs_a_project(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rele.config.get_google_defaults", lambda: (None, None))

        with pytest.raises(NoProjectError):
            make_relays(Config({"OUTBOX": {"USING": ALIAS}}))
