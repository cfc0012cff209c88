from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from rele.backends import Message
from rele.contrib.outbox.relaying.payloads import Payload
from rele.contrib.outbox.relaying.sending import Sender
from tests.support.backends import HeldBackend
from tests.support.outbox import REFUSED, FakePubSub


def message(number: int, key: str = "") -> Payload:
    event_id = str(number)
    return Payload(number, "orders", event_id.encode(), {"event_id": event_id}, key, event_id)


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


def outcomes(sender: Sender) -> list[tuple[int, BaseException | None]]:
    return list(sender.outcomes())


def test_sends_together_what_may_share_a_request(
    servers: FakePubSub, woken: threading.Event
) -> None:
    sender = Sender(servers, woken.set)

    sender.send([message(1), message(2, key="a"), message(3)])

    assert servers.requests == [["1", "2", "3"]]
    assert outcomes(sender) == [(1, None), (2, None), (3, None)]
    assert outcomes(sender) == []
    assert woken.is_set()
    assert servers.accepted[1] == Message("orders", b"2", {"event_id": "2"}, "a")


def test_sends_each_request_by_itself(servers: FakePubSub, woken: threading.Event) -> None:
    servers.errors["2"] = REFUSED
    sender = Sender(servers, woken.set)

    for number in (3, 1, 2):
        sender.send([message(number)])

    assert servers.requests == [["3"], ["1"], ["2"]]
    assert outcomes(sender) == [(3, None), (1, None), (2, REFUSED)]


def test_what_the_backend_raises_is_the_outcome_of_all(woken: threading.Event) -> None:
    class Broken(HeldBackend):
        def send(self, messages: Sequence[Message]) -> list[Future[str]]:
            raise error

    error = RuntimeError("broken")
    sender = Sender(Broken(), woken.set)

    sender.send([message(1), message(2)])

    assert outcomes(sender) == [(1, error), (2, error)]


def test_a_backend_that_cannot_send_at_once_may_send_later(woken: threading.Event) -> None:
    class Slow(HeldBackend):
        def flush(self, timeout: float | None = None) -> None:
            threading.Timer(0.05, self.settle_the_rest).start()
            raise RuntimeError("not now")

    sender = Sender(Slow(), woken.set)

    sender.send([message(1)])

    assert woken.wait(20)
    assert outcomes(sender) == [(1, None)]


def test_does_not_wait_for_outcomes_and_asks_the_backend_to_be_quick(
    woken: threading.Event,
) -> None:
    backend = HeldBackend()
    sender = Sender(backend, woken.set)

    sender.send([message(1)])

    assert backend.flushes == [0]
    assert outcomes(sender) == []
    assert not woken.is_set()
    backend.settle_the_rest()
    assert woken.is_set()
    assert outcomes(sender) == [(1, None)]


def test_a_future_that_is_cancelled_is_a_failure(woken: threading.Event) -> None:
    class Cancelling(HeldBackend):
        def flush(self, timeout: float | None = None) -> None:
            for future in self.futures:
                future.cancel()

    sender = Sender(Cancelling(), woken.set)

    sender.send([message(1)])

    [(_, error)] = outcomes(sender)
    assert type(error).__name__ == "CancelledError"
