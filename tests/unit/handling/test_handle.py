"""What is said of a message when it has been handled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from rele import Subscription
from rele.declaration.skips import note_skip
from rele.engine.base import Message
from rele.exceptions import DecodeError, Drop, Retry
from rele.handling.current import current_handling
from rele.handling.handle import Outcome, handle
from rele.handling.settlement import SettlementPolicy
from tests.support.deliveries import Delivery
from tests.support.recorder import Recorder, raising

Deliver = Callable[..., Delivery]


def outcome_of(delivery: Delivery, subscription: Subscription, **policy: Any) -> Outcome:
    return handle(delivery.message, subscription, SettlementPolicy(subscription, **policy))


def test_of_success_the_result_and_the_ack_are_known(deliver: Deliver) -> None:
    outcome = outcome_of(deliver(), Subscription(lambda data, **attributes: "done", "photos"))

    assert outcome == Outcome(result="done", error=None, settled_as="ack", skipped=None)


@pytest.mark.parametrize(
    ("error", "settled_as"),
    [(ValueError("boo"), "nack"), (SystemExit(1), "nack"), (Drop(), "ack"), (Retry(30), "drop")],
    ids=repr,
)
def test_of_a_failure_the_error_and_the_settlement_are_known(
    deliver: Deliver, error: BaseException, settled_as: str
) -> None:
    outcome = outcome_of(deliver(), Subscription(raising(error), "photos"))

    assert (outcome.result, outcome.error, outcome.settled_as) == (None, error, settled_as)


def test_a_payload_that_cannot_be_decoded_is_an_error(deliver: Deliver) -> None:
    outcome = outcome_of(deliver(b"\xff"), Subscription(print, "photos"))

    assert isinstance(outcome.error, DecodeError)
    assert outcome.settled_as == "ack"


def test_a_message_whose_payload_cannot_be_read_is_nacked(deliver: Deliver) -> None:
    class UnreadableError(Exception):
        pass

    outcome = outcome_of(
        deliver(), Subscription(print, "photos"), decode=raising(UnreadableError())
    )

    assert isinstance(outcome.error, UnreadableError)
    assert outcome.settled_as == "nack"


@pytest.mark.parametrize("reason", ["filtered", "duplicate"])
def test_it_is_known_why_the_handler_was_not_run(deliver: Deliver, reason: Any) -> None:
    def skip(data: Any, **attributes: Any) -> None:
        note_skip(subscription, reason)

    subscription: Subscription = Subscription(skip, "photos")

    assert outcome_of(deliver(), subscription).skipped == reason


def test_a_message_that_fails_was_not_skipped(deliver: Deliver) -> None:
    def skip_and_fail(data: Any, **attributes: Any) -> None:
        note_skip(subscription, "duplicate")
        raise ValueError

    subscription: Subscription = Subscription(skip_and_fail, "photos")

    assert outcome_of(deliver(), subscription).skipped is None


def test_where_settling_fails_it_is_not_settled(
    deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = deliver()
    monkeypatch.setattr(delivery.google_message, "ack", raising(ValueError("closed")))

    outcome = outcome_of(delivery, Subscription(lambda data, **attributes: "done", "photos"))

    assert outcome == Outcome(result="done", error=None, settled_as=None)


def test_an_outcome_stays_as_it_is(deliver: Deliver) -> None:
    outcome = outcome_of(deliver(), Subscription(lambda data, **attributes: 1, "photos"))

    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.result = 2  # type: ignore[misc]


def test_hooks_and_the_current_message_are_one_message(hooks: Recorder, deliver: Deliver) -> None:
    seen: list[Message] = []

    def look(data: Any, **attributes: Any) -> None:
        handling = current_handling()
        assert handling is not None
        seen.append(handling.message)

    delivery = deliver()
    outcome_of(delivery, Subscription(look, "photos"))

    in_hooks = [argument for call in hooks.calls for argument in call if argument == seen[0]]
    assert len(in_hooks) == 2
    assert all(message is delivery.message for message in [*seen, *in_hooks])
    assert current_handling() is None
