from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY, Mock, call, patch

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

from rele import worker as worker_module
from rele.client import Subscriber
from rele.config import Config
from rele.engine.connection import Connection
from rele.engine.times import Times
from rele.exceptions import NoProjectError
from rele.resources import Change, Plan
from rele.retry_policy import RetryPolicy
from rele.schema.settings import DEFAULTS
from rele.subscription import Callback, Subscription
from rele.worker import (
    NotConnectionError,
    Worker,
    check_internet_connection,
    create_and_run,
    make_worker,
)
from tests.support.deliveries import Delivery
from tests.support.google_streams import Stream
from tests.support.inbox import Inbox
from tests.support.recorder import Recorder, raising

MakeWorker = Callable[..., Worker]
CREDENTIALS = AnonymousCredentials()  # type: ignore[no-untyped-call]


class Streams:
    """What the workers of a test consume, by name; nothing is dialled."""

    def __init__(self) -> None:
        self.by_name: dict[str, Stream] = {}
        self.consumed = Inbox()
        self.set_up: list[Subscription] = []
        self.events: list[str] = []

    def consume(self, **arguments: Any) -> Any:
        name = arguments["subscription_name"]
        self.by_name[name] = stream = Stream(arguments["scheduler"])
        self.events.append(f"consume {name}")
        self.consumed.put(arguments)
        return stream.future

    def deliver(self, name: str) -> Delivery:
        """Schedule a message, as Google's client does."""
        [arguments] = [c for c in self.consumed.items if c["subscription_name"] == name]
        delivery = Delivery(b"1", {})
        arguments["scheduler"].schedule(arguments["callback"], delivery.message)
        return delivery


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)


@pytest.fixture(autouse=True)
def _google_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consume with Google's client, whose streams have the stand-ins of these tests."""
    monkeypatch.setitem(DEFAULTS, "ENGINE", "google")


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    streams = Streams()
    monkeypatch.setattr(Subscriber, "consume", Mock(side_effect=streams.consume))
    monkeypatch.setattr(
        Subscriber, "update_or_create_subscription", Mock(side_effect=streams.set_up.append)
    )
    monkeypatch.setattr(worker_module, "check_internet_connection", Mock(return_value=True))
    return streams


@pytest.fixture
def make_worker_of(streams: Streams) -> MakeWorker:
    """Make a worker of subscriptions, without a Config."""

    def make(*subscriptions: Subscription, **arguments: Any) -> Worker:
        return Worker(list(subscriptions), None, "rele", CREDENTIALS, **arguments)

    return make


def subscription(topic: str = "photos", handler: Callable[..., Any] = print) -> Subscription:
    return Subscription(handler, topic)


def exit_status_of(stop: Callable[[], None]) -> object:
    with pytest.raises(SystemExit) as raised:
        stop()
    return raised.value.code


class TestSetup:
    def test_creates_every_subscription(self, streams: Streams, make_worker_of: MakeWorker) -> None:
        photos, orders = subscription("photos"), subscription("orders")

        make_worker_of(photos, orders).setup()

        assert streams.set_up == [photos, orders]

    def test_a_worker_built_directly_states_no_retry_policy(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        with patch("rele.worker.Subscriber") as subscriber:
            make_worker_of(
                gc_storage_region=["europe-west1"],
                default_ack_deadline=20,
            )

        subscriber.over.assert_called_once_with(
            Connection("rele", CREDENTIALS, None, ["europe-west1"], 20, None),
            resilient=False,
            times=Times(),
        )


class TestStart:
    def test_consumes_every_subscription_in_threads_of_its_own(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        worker = make_worker_of(
            subscription("photos"), subscription("orders"), threads_per_subscription=7
        )

        worker.start()

        assert [set(c) for c in streams.consumed.items] == [
            {"subscription_name", "callback", "scheduler"}
        ] * 2
        assert [c["subscription_name"] for c in streams.consumed.items] == ["photos", "orders"]
        assert all(isinstance(c["callback"], Callback) for c in streams.consumed.items)
        schedulers = [c["scheduler"] for c in streams.consumed.items]
        assert all(isinstance(s, ThreadScheduler) for s in schedulers)
        assert [s._executor._max_workers for s in schedulers] == [7, 7]
        exit_status_of(worker.stop)

    def test_a_declaration_states_its_own_threads_and_limits(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        declared = Subscription(print, "photos", threads=3, max_messages=500)
        worker = make_worker_of(declared, threads_per_subscription=7)

        worker.start()

        [consumed] = streams.consumed.items
        assert consumed["scheduler"]._executor._max_workers == 3
        assert consumed["flow_control"].max_messages == 500
        exit_status_of(worker.stop)

    def test_the_defaults_of_the_configuration_count_where_nothing_is_declared(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        config = Config({"SUBSCRIPTION_DEFAULTS": {"threads": 4, "max_bytes": 1024}})
        worker = make_worker_of(
            subscription(), Subscription(print, "orders", threads=1), config=config
        )

        worker.start()

        photos, orders = streams.consumed.items
        assert photos["scheduler"]._executor._max_workers == 4
        assert orders["scheduler"]._executor._max_workers == 1
        assert photos["flow_control"].max_bytes == orders["flow_control"].max_bytes == 1024
        assert photos["flow_control"].max_messages == 100
        exit_status_of(worker.stop)

    def test_has_two_threads_by_default(self, streams: Streams, make_worker_of: MakeWorker) -> None:
        worker = make_worker_of(subscription())

        worker.start()

        assert streams.consumed.items[0]["scheduler"]._executor._max_workers == 2
        exit_status_of(worker.stop)

    def test_runs_its_hooks_around_consuming(
        self, hooks: Recorder, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        for name in ("pre_worker_start", "post_worker_start"):
            hooks.actions[name] = lambda name=name: streams.events.append(name)
        worker = make_worker_of(subscription("photos"), subscription("orders"))

        worker.start()

        assert streams.events == [
            "pre_worker_start",
            "consume photos",
            "consume orders",
            "post_worker_start",
        ]
        exit_status_of(worker.stop)

    def test_that_fails_midway_ends_the_streams_that_had_begun(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        worker = make_worker_of(subscription("photos"), subscription("orders"))

        def consume(**arguments: Any) -> Any:
            if arguments["subscription_name"] == "orders":
                raise ValueError("no such subscription")
            return streams.consume(**arguments)

        with patch.object(Subscriber, "consume", side_effect=consume):
            with pytest.raises(ValueError, match="no such subscription"):
                worker.run_forever()

        assert streams.by_name["photos"].future.cancelled()

    def test_handles_messages(self, streams: Streams, make_worker_of: MakeWorker) -> None:
        handled = Inbox()
        worker = make_worker_of(subscription("photos", lambda data, **attrs: handled.put(data)))
        worker.start()

        delivery = streams.deliver("photos")

        assert handled.wait_for(1) == [1]
        exit_status_of(worker.stop)
        assert delivery.settlements() == ["ack"]

    def test_names_the_address_that_cannot_be_reached(
        self, hooks: Recorder, streams: Streams
    ) -> None:
        worker = Worker(
            [subscription()], {"api_endpoint": "pubsub.example:9000"}, "rele", CREDENTIALS
        )
        with patch.object(worker_module, "check_internet_connection", return_value=False) as check:
            with pytest.raises(
                NotConnectionError, match=r"at pubsub\.example:9000 within 10 s: check"
            ):
                worker.start()

        check.assert_called_once_with("pubsub.example:9000")
        assert hooks.names == []
        assert streams.consumed.items == []

    def test_run_forever_reaches_out_before_it_sets_up(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        worker = make_worker_of(subscription())
        with patch.object(worker_module, "check_internet_connection", return_value=False):
            with pytest.raises(NotConnectionError, match=r"pubsub\.googleapis\.com:443"):
                worker.run_forever()

        assert streams.set_up == []


def test_the_connection_check_dials_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rele.worker.can_connect", lambda address: address == "here:1")

    assert check_internet_connection("here:1")
    assert not check_internet_connection("there:1")


class TestStop:
    def test_runs_its_hooks_around_the_end_and_exits_with_0(
        self, hooks: Recorder, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        photos = subscription()
        worker = make_worker_of(photos)
        worker.start()
        future = streams.by_name["photos"].future
        ended: list[bool] = []
        hooks.actions["pre_worker_stop"] = lambda _: ended.append(future.cancelled())
        hooks.actions["post_worker_stop"] = lambda: ended.append(future.done())

        assert exit_status_of(worker.stop) == 0

        assert ended == [False, True]
        assert hooks.names[-2:] == ["pre_worker_stop", "post_worker_stop"]
        assert hooks.arguments_of("pre_worker_stop") == ([photos],)

    def test_lets_running_handlers_finish_and_hands_the_rest_back(
        self, hooks: Recorder, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        begun, may_end = threading.Event(), threading.Event()

        def handle(data: Any, **attributes: Any) -> None:
            begun.set()
            assert may_end.wait(10)

        worker = make_worker_of(
            subscription("photos", handle),
            subscription("orders"),
            threads_per_subscription=1,
        )
        worker.start()
        running = streams.deliver("photos")
        assert begun.wait(10)
        waiting = streams.deliver("photos")
        hooks.actions["pre_worker_stop"] = lambda _: threading.Timer(0.05, may_end.set).start()

        assert exit_status_of(worker.stop) == 0

        assert running.settlements() == ["ack"]
        assert waiting.settlements() == ["nack"]
        assert hooks.names[-1] == "post_worker_stop"

    def test_ends_all_streams_side_by_side(
        self, streams: Streams, make_worker_of: MakeWorker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        both_end = threading.Barrier(2)
        worker = make_worker_of(
            subscription("photos"),
            subscription("orders"),
            config=Config({"SHUTDOWN_TIMEOUT": 5.0, "RESOURCES": "ignore"}),
        )
        worker.start()
        for stream in streams.by_name.values():
            monkeypatch.setattr(stream.scheduler, "shutdown", lambda: both_end.wait(1))

        assert exit_status_of(worker.stop) == 0

        assert [stream.future.done() for stream in streams.by_name.values()] == [True, True]

    def test_goes_on_although_a_stream_has_died(
        self, hooks: Recorder, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        worker = make_worker_of(subscription("photos"), subscription("orders"))
        worker.start()
        streams.by_name["photos"].die(exceptions.NotFound("gone"))

        assert exit_status_of(worker.stop) == 0

        assert streams.by_name["orders"].future.cancelled()
        assert hooks.names[-1] == "post_worker_stop"

    def test_goes_on_although_a_hook_raises(
        self, hooks: Recorder, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        hooks.actions["pre_worker_stop"] = raising(ValueError())
        hooks.actions["post_worker_stop"] = raising(SystemExit(3))
        worker = make_worker_of(subscription())
        worker.start()

        assert exit_status_of(worker.stop) == 0

        assert streams.by_name["photos"].future.cancelled()

    def test_goes_on_although_the_connection_cannot_be_closed(
        self, hooks: Recorder, make_worker_of: MakeWorker, caplog: pytest.LogCaptureFixture
    ) -> None:
        worker = make_worker_of(subscription())
        with patch.object(Subscriber, "close", side_effect=ValueError("closed already")):
            assert exit_status_of(worker.stop) == 0

        assert hooks.names[-1] == "post_worker_stop"
        assert "closed already" in caplog.text

    @pytest.mark.parametrize("is_unavailable", [True, False])
    def test_does_not_wait_until_the_connection_is_closed(
        self, hooks: Recorder, streams: Streams, is_unavailable: bool
    ) -> None:
        may_end = threading.Event()
        worker = Worker([subscription()], None, "rele", CREDENTIALS, config=Config({}))
        with (
            patch.object(Subscriber, "is_unavailable", is_unavailable),
            patch.object(Subscriber, "close", side_effect=may_end.wait) as close,
        ):
            assert exit_status_of(worker.stop) == 0

        close.assert_called_once_with()
        may_end.set()
        assert hooks.names[-1] == "post_worker_stop"

    def test_a_second_stop_of_the_programs_own_is_harmless_however_late(
        self, hooks: Recorder, make_worker_of: MakeWorker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        statuses: list[int] = []
        monkeypatch.setattr(os, "_exit", statuses.append)
        worker = make_worker_of(subscription())
        now = time.monotonic()

        for moment in (now, now + 5, now + 10):
            monkeypatch.setattr(time, "monotonic", lambda moment=moment: moment)
            assert exit_status_of(worker.stop) == 0

        assert statuses == []
        assert hooks.names == ["pre_worker_stop", "post_worker_stop"]

    def test_a_second_signal_ends_the_process_where_the_first_has_begun_the_shutdown(
        self, hooks: Recorder, make_worker_of: MakeWorker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        statuses: list[int] = []
        monkeypatch.setattr(os, "_exit", statuses.append)
        worker = make_worker_of(subscription())
        later = time.monotonic() + 1

        def signal_again(_: Any) -> None:
            with monkeypatch.context() as patched:
                patched.setattr(time, "monotonic", lambda: later)
                worker.stop(signal.SIGTERM, None)

        hooks.actions["pre_worker_stop"] = signal_again

        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", lambda: later - 1)
            with pytest.raises(SystemExit):
                worker.stop(signal.SIGTERM, None)

        assert statuses == [1]

    def test_a_worker_that_was_not_started_stops(
        self, hooks: Recorder, make_worker_of: MakeWorker
    ) -> None:
        assert exit_status_of(make_worker_of(subscription()).stop) == 0

        assert hooks.names == ["pre_worker_stop", "post_worker_stop"]


class TestRunForever:
    def test_sets_up_starts_announces_it_and_stops_when_stop_is_called_as_a_handler(
        self, hooks: Recorder, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        worker = make_worker_of(subscription())
        seen: list[Any] = []

        def on_start() -> None:
            seen.append((len(streams.set_up), hooks.names[-1]))
            worker.stop(signal.SIGTERM, None)
            seen.append(hooks.names[-1])

        status = exit_status_of(lambda: worker.run_forever(sleep_interval=60, on_start=on_start))

        assert status == 0
        assert seen == [(1, "post_worker_start"), "post_worker_start"]
        assert hooks.names == [
            "pre_worker_start",
            "post_worker_start",
            "pre_worker_stop",
            "post_worker_stop",
        ]

    def test_is_woken_by_a_request_of_another_thread(self, make_worker_of: MakeWorker) -> None:
        worker = make_worker_of(subscription())
        started = time.monotonic()

        def on_start() -> None:
            threading.Timer(0.05, worker.stop).start()

        assert exit_status_of(lambda: worker.run_forever(sleep_interval=60, on_start=on_start)) == 0
        assert time.monotonic() - started < 30

    def test_ctrl_c_without_a_handler_drains_too(
        self, hooks: Recorder, make_worker_of: MakeWorker
    ) -> None:
        with patch("rele.worker.StopRequest.wait", side_effect=KeyboardInterrupt):
            status = exit_status_of(make_worker_of(subscription()).run_forever)

        assert status == 0
        assert hooks.names[-1] == "post_worker_stop"

    @pytest.mark.parametrize(("seconds_later", "ended"), [(0.9, []), (1.0, [1]), (20, [1])])
    def test_a_second_signal_ends_the_process_only_after_a_second(
        self,
        make_worker_of: MakeWorker,
        monkeypatch: pytest.MonkeyPatch,
        seconds_later: float,
        ended: list[int],
    ) -> None:
        statuses: list[int] = []
        monkeypatch.setattr(os, "_exit", statuses.append)
        worker = make_worker_of(subscription())
        now = time.monotonic()

        def on_start() -> None:
            for moment in (now, now + seconds_later):
                with monkeypatch.context() as patched:
                    patched.setattr(time, "monotonic", lambda moment=moment: moment)
                    worker.stop(signal.SIGTERM, None)

        assert exit_status_of(lambda: worker.run_forever(on_start=on_start)) == 0

        assert statuses == ended

    def test_a_refusal_at_set_up_is_raised(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        with patch.object(
            Subscriber,
            "update_or_create_subscription",
            side_effect=exceptions.PermissionDenied("no"),
        ):
            with pytest.raises(exceptions.PermissionDenied):
                make_worker_of(subscription()).run_forever()

        assert streams.consumed.items == []


class TestCreateAndRun:
    SETTINGS = {  # noqa: RUF012 - not changed
        "GC_PROJECT_ID": "rele",
        "ACK_DEADLINE": 20,
        "THREADS_PER_SUBSCRIPTION": 7,
        "DEFAULT_RETRY_POLICY": RetryPolicy(1, 2),
        "CLIENT_OPTIONS": {"api_endpoint": "localhost:1"},
        "GC_STORAGE_REGION": ["europe-west1"],
        "SHUTDOWN_TIMEOUT": 5.0,
    }

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")

    @pytest.fixture
    def handlers(self) -> Iterator[None]:
        """The signal handlers as they were, afterwards."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
        before = {number: signal.getsignal(number) for number in numbers}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    def test_without_a_project_says_how_to_give_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PUBSUB_EMULATOR_HOST")
        monkeypatch.setattr("rele.config.get_google_defaults", lambda: (None, None))

        with pytest.raises(NoProjectError, match="GC_PROJECT_ID"):
            create_and_run([subscription()], Config({}))

    def test_makes_the_worker_that_the_settings_describe(self) -> None:
        with patch("rele.worker.Subscriber") as subscriber:
            worker = make_worker([subscription()], Config(self.SETTINGS))

        subscriber.over.assert_called_once_with(
            Connection(
                "rele",
                None,
                {"api_endpoint": "localhost:1"},
                ["europe-west1"],
                20,
                RetryPolicy(1, 2),
            ),
            resilient=True,
            times=Times(),
        )
        assert [consumer.threads for consumer in worker._plan.consumers] == [7]
        assert worker._plan.shutdown_timeout == 5.0

    @pytest.mark.parametrize("mode", ["apply", "create"])
    def test_sets_up_by_plan(self, mode: str) -> None:
        photos = subscription()
        config = Config({**self.SETTINGS, "RESOURCES": mode})
        with patch("rele.worker.Subscriber") as subscriber:
            make_worker([photos], config).setup()

        made = subscriber.over.return_value
        made.resources.assert_called_once_with("rele", config.subscription_defaults)
        resources = made.resources.return_value
        resources.plan.assert_called_once_with([photos])
        plan = resources.plan.return_value
        resources.apply.assert_called_once_with(
            plan if mode == "apply" else plan.only.return_value, ANY
        )
        made.update_or_create_subscription.assert_not_called()

    @pytest.mark.usefixtures("handlers")
    @pytest.mark.parametrize(
        "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP]
    )
    def test_a_signal_drains_and_exits_with_0(
        self, hooks: Recorder, streams: Streams, number: int
    ) -> None:
        with patch("rele.worker.Worker.setup"):
            status = exit_status_of(
                lambda: create_and_run(
                    [subscription()],
                    Config(self.SETTINGS),
                    on_start=lambda: signal.raise_signal(number),
                )
            )

        assert status == 0
        assert hooks.names[-1] == "post_worker_stop"
        assert streams.by_name["photos"].future.cancelled()

    @pytest.mark.usefixtures("handlers")
    def test_only_runs_forever_where_no_start_is_announced(self) -> None:
        with patch("rele.worker.Worker") as worker:
            create_and_run([subscription()], Config(self.SETTINGS))

        worker.return_value.run_forever.assert_called_once_with()

    def test_installs_no_handler_outside_of_the_main_thread(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        with patch("rele.worker.Worker") as worker:
            thread = threading.Thread(
                target=create_and_run, args=[[subscription()], Config(self.SETTINGS)]
            )
            thread.start()
            thread.join(10)

        worker.return_value.run_forever.assert_called_once_with()
        assert signal.getsignal(signal.SIGTERM) is before


class TestDeletedTopic:
    @pytest.mark.parametrize(
        ("mode", "recreates"), [("apply", True), ("create", True), ("verify", False)]
    )
    def test_is_watched_for_while_the_worker_runs(
        self, streams: Streams, monkeypatch: pytest.MonkeyPatch, mode: str, recreates: bool
    ) -> None:
        watch_topics = Mock()
        monkeypatch.setattr(Subscriber, "watch_topics", watch_topics)
        photos = subscription()
        worker = Worker([photos], None, "rele", CREDENTIALS, config=Config({"RESOURCES": mode}))

        worker.start()

        watch_topics.assert_called_once_with([photos], recreates)
        assert watch_topics.return_value.method_calls == [call.start()]
        exit_status_of(worker.stop)
        assert watch_topics.return_value.method_calls == [call.start(), call.stop()]

    @pytest.mark.parametrize("config", [None, Config({"RESOURCES": "ignore"})])
    def test_is_not_watched_for_where_nothing_may_be_read(
        self,
        streams: Streams,
        make_worker_of: MakeWorker,
        monkeypatch: pytest.MonkeyPatch,
        config: Config | None,
    ) -> None:
        watch_topics = Mock()
        monkeypatch.setattr(Subscriber, "watch_topics", watch_topics)
        worker = make_worker_of(subscription(), config=config)

        worker.start()

        exit_status_of(worker.stop)
        watch_topics.assert_not_called()


class TestDeletedSubscription:
    NO_PAUSE = Times(first_pause=0.001)

    def test_is_recreated_and_logged(
        self, streams: Streams, make_planned: Callable[..., Worker], caplog: Any
    ) -> None:
        worker, resources = make_planned(
            Change("create subscription", "projects/rele/subscriptions/photos")
        )
        worker.start()

        streams.by_name["photos"].die(exceptions.NotFound("gone"))
        streams.consumed.wait_for(2)

        photos = worker._subscriptions
        resources.plan.assert_called_once_with(photos, others=photos)
        resources.apply.assert_called_once_with(resources.plan.return_value, ANY)
        assert exit_status_of(worker.stop) == 0
        [error] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert (
            "The subscription photos had been deleted and was created again" in error.getMessage()
        )

    def test_is_not_logged_where_it_still_exists(
        self, streams: Streams, make_planned: Callable[..., Worker], caplog: Any
    ) -> None:
        worker, _ = make_planned()
        worker.start()

        streams.by_name["photos"].die(exceptions.PermissionDenied("no"))
        streams.consumed.wait_for(2)

        assert exit_status_of(worker.stop) == 0
        assert "created again" not in caplog.text

    def test_of_a_worker_built_directly_is_recreated_too(
        self, streams: Streams, make_worker_of: MakeWorker
    ) -> None:
        photos = subscription()
        worker = make_worker_of(photos, times=self.NO_PAUSE)
        worker.start()

        streams.by_name["photos"].die(exceptions.NotFound("gone"))
        streams.consumed.wait_for(2)

        assert streams.set_up == [photos]
        assert exit_status_of(worker.stop) == 0

    @pytest.fixture
    def make_planned(self, streams: Streams, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        """Make a worker that sets up by a plan of the test's, and the stand-in for that."""
        resources = Mock()
        resources.path.return_value = "projects/rele/subscriptions/photos"
        monkeypatch.setattr(Subscriber, "resources", Mock(return_value=resources))
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")

        def make(*changes: Change) -> tuple[Worker, Mock]:
            resources.plan.return_value = Plan(changes)
            config = Config({"GC_PROJECT_ID": "rele"})
            return make_worker([subscription()], config, times=self.NO_PAUSE), resources

        return make


def test_a_storage_region_that_the_configuration_warned_of_is_not_warned_of_again() -> None:
    with pytest.warns(DeprecationWarning, match="europe-west1"):
        config = Config({"GC_PROJECT_ID": "shop", "GC_STORAGE_REGION": "europe-west1"})

    with (
        patch("rele.client.pubsub_v1.PublisherClient") as publisher,
        patch("rele.client.pubsub_v1.SubscriberClient") as subscriber,
    ):
        subscriber.return_value.get_subscription.side_effect = exceptions.NotFound("no")
        publisher.return_value.get_topic.side_effect = exceptions.NotFound("no")
        make_worker([subscription()], config).setup()

    [creation] = publisher.return_value.create_topic.call_args_list
    assert creation.kwargs["request"]["message_storage_policy"] == {
        "allowed_persistence_regions": ["europe-west1"]
    }
