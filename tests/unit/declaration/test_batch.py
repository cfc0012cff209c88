"""How a handler of batches is declared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rele import Batch, Subscription, sub
from rele.declaration.options import SubscriptionOptions

SOME = Batch(max_messages=500, max_wait=0.2)


@pytest.mark.parametrize("max_messages", [0, -1, 1.5, True, "500", None])
def test_the_number_of_messages_is_a_whole_number_from_1(max_messages: Any) -> None:
    with pytest.raises(ValueError, match="max_messages of a Batch must be a whole number from 1"):
        Batch(max_messages=max_messages)


@pytest.mark.parametrize(
    "max_wait", [0, -0.1, 601, float("nan"), float("inf"), True, "1", None, timedelta(0)]
)
def test_the_wait_is_a_duration_above_0(max_wait: Any) -> None:
    with pytest.raises(ValueError, match="max_wait of a Batch must be a number of seconds"):
        Batch(max_wait=max_wait)


@pytest.mark.parametrize("max_wait", [0.5, timedelta(milliseconds=500)])
def test_the_wait_is_seconds_or_a_timedelta(max_wait: Any) -> None:
    assert Batch(max_wait=max_wait).seconds == 0.5


def test_a_batch_must_fit_into_what_may_be_outstanding() -> None:
    with pytest.raises(ValueError, match="batch cannot have 500 messages while max_messages=499"):
        Subscription(print, "orders", batch=SOME, max_messages=499)

    assert Subscription(print, "orders", batch=SOME, max_messages=500).options.max_messages == 500


def test_a_default_for_what_may_be_outstanding_gives_way_to_a_batch() -> None:
    options = Subscription(print, "orders", batch=SOME).options

    assert options.over(SubscriptionOptions(max_messages=10)).max_messages == 500
    assert options.over(SubscriptionOptions(max_messages=1000)).max_messages == 1000
    assert options.over(SubscriptionOptions()).max_messages is None


def test_a_handler_of_batches_takes_the_messages_alone() -> None:
    @sub(topic="orders", batch=SOME)
    def book(messages: list[Any]) -> int:
        return len(messages)

    assert book.batch is SOME
    assert book([1, 2]) == 2, "a plain call runs the function"


def test_a_handler_of_batches_that_needs_more_is_refused() -> None:
    def book(messages: list[Any], connection: Any) -> None: ...

    with pytest.raises(
        RuntimeError, match=r"book takes batches, .* declare it as `def book\(messages\)`"
    ):
        sub(topic="orders", batch=SOME)(book)
