from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from rele.backends import Message
from rele.contrib.outbox.models import OutboxMessage
from rele.contrib.outbox.relaying import sending
from rele.contrib.outbox.relaying.sending import Outcomes, Sender, StoppedError
from rele.runtime.stopping import StopRequest
from tests.support.backends import HeldBackend
from tests.support.outbox import REFUSED, FakePubSub


def message(data: str, key: str = "", attempts: int = 0) -> OutboxMessage:
    return OutboxMessage(
        topic="orders",
        data=data.encode(),
        attributes={"event_id": data},
        ordering_key=key,
        attempts=attempts,
    )


def data_of(outcomes: Outcomes) -> list[tuple[str, BaseException | None]]:
    return [(bytes(message.data).decode(), error) for message, error in outcomes]


def test_sends_what_is_new_together(servers: FakePubSub) -> None:
    outcomes = Sender(servers, StopRequest()).send(
        [message("1"), message("2", key="a"), message("3")]
    )

    assert servers.requests == [["1", "2", "3"]]
    assert data_of(outcomes) == [("1", None), ("2", None), ("3", None)]
    assert servers.accepted[1] == Message("orders", b"2", {"event_id": "2"}, "a")


def test_sends_each_that_was_refused_before_alone(servers: FakePubSub) -> None:
    servers.errors["bad"] = REFUSED

    outcomes = Sender(servers, StopRequest()).send(
        [message("good", attempts=1), message("bad", attempts=1), message("new")]
    )

    assert servers.requests == [["new"], ["good"], ["bad"]]
    assert data_of(outcomes) == [("new", None), ("good", None), ("bad", REFUSED)]


def test_leaves_out_what_comes_after_it_of_its_key(servers: FakePubSub) -> None:
    messages = [message("1", "a", attempts=1), message("2", "a"), message("3", "b")]

    outcomes = Sender(servers, StopRequest()).send(messages)

    assert servers.requests == [["3"], ["1"]]
    assert data_of(outcomes) == [("3", None), ("1", None)]


def test_one_that_was_refused_before_waits_for_those_before_it_of_its_key(
    servers: FakePubSub,
) -> None:
    messages = [message("1", "a"), message("2", "a", attempts=1), message("3", "a")]

    Sender(servers, StopRequest()).send(messages)

    assert servers.requests == [["1"]]


def test_keys_of_two_topics_are_two(servers: FakePubSub) -> None:
    other = message("2", "a")
    other.topic = "photos"

    Sender(servers, StopRequest()).send([message("1", "a", attempts=1), other])

    assert servers.requests == [["2"], ["1"]]


def test_what_the_backend_raises_is_the_outcome_of_all() -> None:
    class Broken(HeldBackend):
        def send(self, messages: Sequence[Message]) -> list[Future[str]]:
            raise error

    error = RuntimeError("broken")

    outcomes = Sender(Broken(), StopRequest()).send([message("1"), message("2")])

    assert data_of(outcomes) == [("1", error), ("2", error)]


def test_a_backend_that_cannot_send_at_once_may_send_later() -> None:
    class Slow(HeldBackend):
        def flush(self, timeout: float | None = None) -> None:
            threading.Timer(0.05, self.settle_the_rest).start()
            raise RuntimeError("not now")

    assert data_of(Sender(Slow(), StopRequest()).send([message("1")])) == [("1", None)]


def test_waits_until_the_outcome_is_known_and_asks_to_be_quick() -> None:
    backend = HeldBackend()
    threading.Timer(0.7, backend.settle_the_rest).start()

    outcomes = Sender(backend, StopRequest()).send([message("1")])

    assert data_of(outcomes) == [("1", None)]
    assert backend.flushes == [0]


def test_a_relay_that_is_to_stop_waits_for_no_outcome() -> None:
    stop = StopRequest()
    threading.Timer(0.05, stop.request).start()

    with pytest.raises(StoppedError):
        Sender(HeldBackend(), stop).send([message("1")])


def test_a_future_that_is_cancelled_is_a_failure() -> None:
    class Cancelling(HeldBackend):
        def flush(self, timeout: float | None = None) -> None:
            for future in self.futures:
                future.cancel()

    [(_, error)] = Sender(Cancelling(), StopRequest()).send([message("1")])

    assert type(error).__name__ == "CancelledError"


def test_nothing_is_no_request(servers: FakePubSub) -> None:
    assert Sender(servers, StopRequest()).send([]) == []
    assert servers.requests == []


def test_many_that_were_refused_are_sent_in_parts(servers: FakePubSub) -> None:
    under_way: list[int] = []

    class Counting(FakePubSub):
        def send(self, messages: Sequence[Message]) -> list[Future[str]]:
            futures: list[Future[str]] = [Future() for _ in messages]
            open_futures.extend(futures)
            return futures

        def flush(self, timeout: float | None = None) -> None:
            under_way.append(len(open_futures))
            if len(open_futures) == 50:
                self.end_all()

        def end_all(self) -> None:
            while open_futures:
                open_futures.pop().set_result("message")

    open_futures: list[Future[Any]] = []

    outcomes = Sender(Counting(), StopRequest()).send(
        [message(str(n), attempts=1) for n in range(100)]
    )

    assert len(outcomes) == 100
    assert max(under_way) == 50


def test_says_once_that_pubsub_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "_CHECK_SECONDS", 0.01)
    backend = HeldBackend()
    threading.Timer(0.3, backend.settle_the_rest).start()

    Sender(backend, StopRequest()).send([message("1"), message("2")])

    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("Waiting for Pub/Sub, which has not accepted a batch")
