"""Whatever is in a message: with any bundled middleware it is settled once, soon and for good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from flask import has_app_context
from hypothesis import given, settings
from hypothesis import strategies as st

from rele import Callback, Subscription
from rele.contrib import UnrecoverableException
from rele.handling.settlement import SettlementPolicy
from tests.support import poison
from tests.support.bundled import SETS, reading_logs, set_up
from tests.support.deliveries import Delivery
from tests.support.poison import Poison

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 2.0
"""Seconds of CPU for a message, what is logged included.

It takes milliseconds; what grows with the square of a length takes minutes.
"""

SOON_IF_LARGE = 5.0
"""The same for one of megabytes, which takes up to half a second."""

Handler = Callable[..., Any]


def accept(data: Any, **attributes: Any) -> None:
    """A handler that takes whatever it gets."""


def want_an_order(data: Any, **attributes: Any) -> float:
    """A handler that trusts its publishers; no message of the corpus is what it expects."""
    total: float = data["order"]["total"] * float(attributes["rate"])
    return total


def refuse(data: Any, **attributes: Any) -> None:
    """A handler that knows that no further attempt would help."""
    raise UnrecoverableException("no order")


@dataclass(frozen=True)
class Outcome:
    """What became of a message."""

    settlements: list[str]
    was_handled: bool
    cpu_seconds: float


def process(handler: Handler, content: Poison, failure_pause: int | None = None) -> Outcome:
    """Let the worker's callback have the message."""
    handled: list[Any] = []

    def handle(data: Any, **attributes: Any) -> Any:
        handled.append(data)
        return handler(data, **attributes)

    delivery = Delivery(content.data, dict(content.attributes), content.ordering_key)
    subscription = Subscription(handle, "orders")
    policy = SettlementPolicy(subscription, failure_pause=failure_pause)
    callback = Callback(subscription, policy=policy)
    begun = time.thread_time()
    callback(delivery.message)
    seconds = time.thread_time() - begun
    return Outcome(delivery.settlements(), bool(handled), seconds)


@pytest.fixture(params=SETS)
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The bundled middlewares that are registered."""
    set_up(SETS[request.param])
    return SETS[request.param]


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    before = set(threading.enumerate())  # those of another test may end meanwhile
    yield
    assert set(threading.enumerate()) <= before
    assert not has_app_context()


def settled_by(handler: Handler, names: tuple[str, ...]) -> list[str]:
    """How a message is settled that reaches the handler."""
    if handler is accept or (handler is refuse and "UnrecoverableMiddleWare" in names):
        return ["ack"]
    return ["nack"]


def check(outcomes: dict[str, Outcome], undecodable: Iterable[str], settled: list[str]) -> None:
    """Those that cannot be decoded are acknowledged, the others settled as the handler says."""
    lost = set(undecodable)
    assert {name: outcome.settlements for name, outcome in outcomes.items()} == {
        name: ["ack"] if name in lost else settled for name in outcomes
    }
    assert {name for name, outcome in outcomes.items() if not outcome.was_handled} == lost


def slow(outcomes: dict[str, Outcome], limit: float) -> dict[str, float]:
    """Those that took longer than ``limit`` seconds."""
    return {name: each.cpu_seconds for name, each in outcomes.items() if each.cpu_seconds > limit}


@pytest.mark.parametrize("handler", [accept, want_an_order, refuse])
def test_each_of_the_corpus_is_settled_once_and_soon(
    names: tuple[str, ...], handler: Handler
) -> None:
    with reading_logs():
        outcomes = {name: process(handler, each) for name, each in poison.CORPUS.items()}

    check(outcomes, poison.UNDECODABLE, settled_by(handler, names))
    assert slow(outcomes, SOON) == {}


@pytest.mark.parametrize(
    "names",
    [each if each == "all" else pytest.param(each, marks=pytest.mark.slow) for each in SETS],
    indirect=True,
)
def test_a_large_one_is_settled_once_and_soon(names: tuple[str, ...]) -> None:
    undecodable = poison.large_undecodable()
    corpus = {**undecodable, **poison.large_decodable()}

    with reading_logs():
        outcomes = {name: process(want_an_order, each) for name, each in corpus.items()}

    check(outcomes, undecodable, ["nack"])
    assert slow(outcomes, SOON_IF_LARGE) == {}


def test_one_that_is_delayed_is_dropped_once(names: tuple[str, ...]) -> None:
    with reading_logs():
        outcomes = {name: process(want_an_order, each, 10) for name, each in poison.CORPUS.items()}

    check(outcomes, poison.UNDECODABLE, ["drop", "modack"])


@pytest.mark.usefixtures("no_middleware")
@pytest.mark.parametrize("name", poison.UNDECODABLE)
def test_what_cannot_be_decoded_is_in_the_log_at_error(name: str) -> None:
    content = poison.UNDECODABLE[name]

    with reading_logs() as logs:
        process(accept, content)

    [error] = logs.texts_of("ERROR")
    assert "message-1 of orders" in error
    assert repr(content.data)[:500] in error
    assert logs.longest >= len(repr(content.data))


class Shop:
    """What handlers and filters may be methods of."""

    def __call__(self, data: Any, **attributes: Any) -> None:
        """Be a handler."""

    def handle(self, data: Any, **attributes: Any) -> None:
        """Be a handler, too."""

    def lets_pass(self, **attributes: Any) -> bool:
        return True


def handle_with(connection: Any, data: Any, **attributes: Any) -> None:
    """A handler once ``connection`` is bound."""


@pytest.mark.parametrize("handler", [accept, Shop(), Shop().handle, partial(handle_with, None)])
@pytest.mark.parametrize("filter_by", [None, Shop().lets_pass, lambda **attributes: True])
def test_no_attribute_fails_a_handler_or_a_filter_of_any_kind(
    handler: Handler, filter_by: Handler | None
) -> None:
    subscription = Subscription(handler, "orders", filter_by=filter_by)
    settlements = {}
    with reading_logs() as logs:
        for name, content in poison.ODD_ATTRIBUTES.items():
            delivery = Delivery(content.data, dict(content.attributes))
            Callback(subscription)(delivery.message)
            settlements[name] = delivery.settlements()

    assert {name for name, each in settlements.items() if each != ["ack"]} == set()
    assert logs.texts_of("ERROR") == []


@pytest.mark.parametrize(
    "examples", [100, pytest.param(5_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_any_message_is_settled_once(names: tuple[str, ...], examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(content=poison.poisons(), handler=st.sampled_from([accept, want_an_order, refuse]))
    def settle(content: Poison, handler: Handler) -> None:
        with reading_logs():
            outcome = process(handler, content)

        assert outcome.settlements == (
            settled_by(handler, names) if outcome.was_handled else ["ack"]
        )

    settle()
