"""The connections of Relé's own consumers, and what their loop does about forks and faults."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from grpc import StatusCode

from rele.engine.connection import Connection
from rele.engine.native.consuming import consumer as consumer_module
from rele.engine.native.consuming import handler_threads, pull_connections
from rele.engine.native.consuming.consumer import NativeConsumer
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.pull_engine import PullEngine
from rele.engine.native.forking import gate
from rele.engine.native.grpc_threads import poller_is_alive
from rele.engine.times import Times
from rele.exceptions import ThreadStartError
from tests.support.inbox import Inbox
from tests.support.pull_server import PullServer, PullStream

TIMES = Times(blocked_after=0.5)

Consume = Callable[..., NativeConsumer]


@pytest.fixture
def engine(pull_server: PullServer) -> Iterator[PullEngine]:
    engine = PullEngine(Connection("project"), TIMES)
    yield engine
    engine.close()


@pytest.fixture
def consume(engine: PullEngine) -> Iterator[Consume]:
    """Begin to consume with a callback; what is open is drained at the end."""
    consumers: list[NativeConsumer] = []

    def begin(
        handle: Callable[[Any], object] = lambda message: message.ack(),
        name: str = "orders",
        **options: Any,
    ) -> NativeConsumer:
        options = {"threads": 2, **options}
        consumer = engine.consumer(name, handle, ConsumerOptions(**options), lambda: True)
        consumer.open()
        consumers.append(consumer)
        return consumer

    yield begin
    for consumer in consumers:
        consumer.drain(time.monotonic() + 5)
    for consumer in consumers:
        consumer.join(time.monotonic() + 5)


class Lines(logging.Handler):
    """What is logged, from WARNING."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.inbox = Inbox()

    def emit(self, record: logging.LogRecord) -> None:
        self.inbox.put(logging.Formatter().format(record))

    def wait_for(self, text: str) -> str:
        lines = self.inbox.wait_until(lambda lines: any(text in line for line in lines), 30)
        return next(line for line in lines if text in line)


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    logger = logging.getLogger("rele.engine")
    logger.addHandler(lines)
    yield lines
    logger.removeHandler(lines)


def open_streams(server: PullServer) -> list[PullStream]:
    return [each for each in server.streams.items if not each.is_half_closed.is_set()]


class TestConnections:
    def test_a_connection_has_50_streams_at_most_and_calls_have_their_own(
        self, pull_server: PullServer, consume: Consume
    ) -> None:
        for number in range(120):
            consume(name=f"orders-{number}")
        streams = pull_server.streams.wait_for(120)
        streams[0].deliver(b"1")
        pull_server.acked.wait_for(1)

        by_connection = Counter(each.call.connection for each in streams)
        assert sorted(by_connection.values()) == [20, 50, 50]
        used_by_calls = {each.call.connection for each in pull_server.requests.items}
        assert len(used_by_calls) == 1
        assert not used_by_calls & set(by_connection)

    def test_each_call_says_which_subscription_it_is_about(
        self, pull_server: PullServer, consume: Consume
    ) -> None:
        """Pub/Sub routes by it, as Google's client says it, too."""
        consume()
        [stream] = pull_server.streams.wait_for(1)
        stream.deliver(b"1")
        pull_server.acked.wait_for(1)

        calls = [stream.call, *(each.call for each in pull_server.requests.items)]
        assert {each.headers["x-goog-request-params"] for each in calls} == {
            "subscription=projects/project/subscriptions/orders"
        }

    def test_a_connection_without_streams_is_closed(
        self, pull_server: PullServer, consume: Consume, engine: PullEngine
    ) -> None:
        consumers = [consume(name=f"orders-{number}") for number in range(60)]
        streams = pull_server.streams.wait_for(60)
        few = Counter(each.call.connection for each in streams).most_common()[-1][0]

        on_it = {each.subscription for each in streams if each.call.connection == few}
        for consumer in consumers:
            if consumer._name in on_it:
                consumer.drain(time.monotonic() + 5)
        for consumer in consumers:
            if consumer._name in on_it:
                assert consumer.join(time.monotonic() + 5) == 0

        deadline = time.monotonic() + 10
        while len(engine._loop.connections.channels) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_an_ack_is_sent_by_another_connection_after_one_that_is_not_answered(
        self, pull_server: PullServer, consume: Consume, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumer_module, "_CALL_TIMEOUT", 0.3)
        pull_server.hold(purpose="ack", times=1)
        consume()
        pull_server.streams.wait_for(1)[0].deliver(b"1")

        pull_server.acked.wait_for(1)

        acks = [each for each in pull_server.requests.items if each.purpose == "ack"]
        assert len({each.call.connection for each in acks}) == 2


class TestForks:
    """``gate.close`` and ``gate.open`` are what Python calls before and after a fork."""

    def test_nothing_of_grpc_asyncio_is_left_at_the_fork(
        self, pull_server: PullServer, consume: Consume
    ) -> None:
        if poller_is_alive():
            pytest.skip("a server that other tests started in this process has gRPC's thread, too")
        consume()
        pull_server.streams.wait_for(1)
        assert poller_is_alive()

        gate.close()
        alive = poller_is_alive()
        gate.open()

        assert not alive
        pull_server.streams.wait_for(2)[1].deliver(b"1")
        pull_server.acked.wait_for(1)

    def test_what_the_server_has_sent_is_taken_and_leased_on(
        self, pull_server: PullServer, consume: Consume
    ) -> None:
        """A stream is half-closed: what arrives before its end counts."""
        pull_server.ends_half_closed = False
        consume()
        [stream] = pull_server.streams.wait_for(1)
        handled = Inbox()

        def fork() -> None:
            gate.close()
            gate.open()
            handled.put(None)

        thread = threading.Thread(target=fork)
        thread.start()
        assert stream.is_half_closed.wait(10)
        [ack_id] = stream.deliver(b"1")
        stream.end(StatusCode.OK)
        thread.join(10)

        assert handled.items
        assert pull_server.acked.wait_for(1) == [ack_id]
        assert "nack" not in {purpose for purpose, _ in pull_server.requests_of(ack_id)}

    def test_a_call_that_is_not_answered_is_made_again_after_the_fork(
        self, pull_server: PullServer, consume: Consume, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pull_connections, "LONGEST_END", 0.2)
        pull_server.hold(purpose="ack", times=1)
        consume()
        [ack_id] = pull_server.streams.wait_for(1)[0].deliver(b"1")
        pull_server.wait_for_request(purpose="ack")

        began = time.monotonic()
        gate.close()
        gate.open()

        assert time.monotonic() - began < 1.4, "the fork has not waited for its limit"
        assert pull_server.acked.wait_for(1) == [ack_id]

    def test_leases_and_pauses_are_as_if_nothing_had_happened(
        self, pull_server: PullServer, consume: Consume, lines: Lines
    ) -> None:
        consume()
        for number in range(1, 11):
            pull_server.streams.wait_for(number)
            gate.close()
            gate.open()

        began = time.monotonic()
        pull_server.streams.wait_for(11)

        assert time.monotonic() - began < 1, "a fork is no failure, after which it would wait"
        # On a busy machine the loop may not run for a while; that is not what a fork is.
        of_the_machine = ("was busy", "did not run for")
        said = [
            line for line in lines.inbox.items if not any(map(line.__contains__, of_the_machine))
        ]
        assert said == []

    def test_a_burst_of_forks_opens_streams_once(
        self, pull_server: PullServer, consume: Consume, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pull_connections, "QUIET_AFTER_FORK", 5.0)
        monkeypatch.setattr(pull_connections, "LONGEST_WITHOUT_STREAMS", 60.0)
        consume()
        pull_server.streams.wait_for(1)

        for _ in range(5):
            gate.close()
            gate.open()

        pull_server.streams.wait_for(2)
        assert len(open_streams(pull_server)) == 1
        assert len(pull_server.streams.items) == 2

    def test_a_fork_in_the_thread_of_the_loop_does_not_hang(
        self, pull_server: PullServer, consume: Consume, engine: PullEngine
    ) -> None:
        consume()
        pull_server.streams.wait_for(1)
        took = Inbox()

        def fork() -> None:
            began = time.monotonic()
            gate.close()
            gate.open()
            took.put(time.monotonic() - began)

        engine._loop.call(fork)

        assert took.wait_for(1)[0] < 1
        pull_server.streams.items[-1].deliver(b"1")
        pull_server.acked.wait_for(1)


def block_the_interpreter(message: Any) -> None:
    re.match(r"(a+)+$", "a" * 26 + "b")  # for seconds, on any machine
    message.ack()


class TestFaults:
    def test_a_handler_that_blocks_the_interpreter_is_named(
        self, pull_server: PullServer, consume: Consume, lines: Lines
    ) -> None:
        consume(block_the_interpreter)
        pull_server.streams.wait_for(1)[0].deliver(b"1")

        line = lines.wait_for("The interpreter was blocked for")

        assert "by the handler of orders, with the message message-1:" in line
        assert "Where it is now, after the block: The thread rele-handler is at:" in line
        assert "no outage of Pub/Sub" in line
        assert not [each for each in lines.inbox.items if "cannot be reached" in each]

    def test_messages_wait_where_no_thread_can_be_started_for_them(
        self,
        pull_server: PullServer,
        consume: Consume,
        lines: Lines,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(name: str, target: object) -> None:
            raise ThreadStartError(name)

        consume()
        [stream] = pull_server.streams.wait_for(1)
        with monkeypatch.context() as patch:
            patch.setattr(handler_threads, "start_thread", refuse)
            [ack_id] = stream.deliver(b"1")
            line = lines.wait_for("Messages of orders wait for a thread.")

        assert "No thread can be started for rele-handler" in line
        assert pull_server.acked.wait_for(1) == [ack_id]

    def test_a_step_that_fails_is_logged_and_the_subscription_goes_on(
        self,
        pull_server: PullServer,
        consume: Consume,
        lines: Lines,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        consumer = consume()
        [stream] = pull_server.streams.wait_for(1)
        failures = iter([RuntimeError("an error in Relé")])
        act = consumer._core.act

        def fail_once(now: float) -> Any:
            for failure in failures:
                raise failure
            return act(now)

        monkeypatch.setattr(consumer._core, "act", fail_once)
        [ack_id] = stream.deliver(b"1")

        line = lines.wait_for("A step of the consumer of orders has failed")
        assert "RuntimeError: an error in Relé" in line
        assert pull_server.acked.wait_for(1) == [ack_id]

    def test_a_response_that_cannot_be_read_ends_the_stream_and_another_is_opened(
        self, pull_server: PullServer, consume: Consume, lines: Lines
    ) -> None:
        consume()
        [stream] = pull_server.streams.wait_for(1)

        stream.call.reply(b"\xff\xff\xff")

        lines.wait_for("A step of Relé's consumers has failed")
        [ack_id] = pull_server.streams.wait_for(2)[1].deliver(b"1")
        assert pull_server.acked.wait_for(1) == [ack_id]

    def test_an_exit_in_the_loop_does_not_end_it(
        self, pull_server: PullServer, consume: Consume, engine: PullEngine, lines: Lines
    ) -> None:
        def leave() -> None:
            raise SystemExit(3)

        consume()
        [stream] = pull_server.streams.wait_for(1)

        engine._loop.call(leave)

        lines.wait_for("has ended by an exit")
        [ack_id] = stream.deliver(b"1")
        assert pull_server.acked.wait_for(1) == [ack_id]


tenant: ContextVar[str] = ContextVar("tenant", default="none")


def test_the_loop_keeps_nothing_of_the_context_of_a_handler(
    engine: PullEngine, consume: Consume
) -> None:
    """A timer or a stream that is begun by it would, for as long as it lasts: also the message."""
    consume()
    seen = Inbox()
    tenant.set("of a message")

    engine._loop.call(lambda: seen.put(tenant.get()))

    assert seen.wait_for(1) == ["none"]
