from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import rele.contrib
from rele import Callback, Subscription
from rele.contrib import UnrecoverableException, UnrecoverableMiddleWare
from rele.contrib import unrecoverable_middleware as module
from tests.support.deliveries import Delivery
from tests.support.in_use import register
from tests.support.recorder import raising

Deliver = Callable[..., Delivery]


class OutOfStockError(UnrecoverableException):
    """A user's own."""


@pytest.fixture
def _registered() -> None:
    register(UnrecoverableMiddleWare())


def settled(deliver: Deliver, handler: Callable[..., Any]) -> list[str]:
    delivery = deliver()
    Callback(Subscription(handler, "photos"))(delivery.message)
    return delivery.settlements()


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("error", [UnrecoverableException("gone"), OutOfStockError()])
def test_what_no_attempt_would_help_is_acked_and_no_nack_follows(
    deliver: Deliver, error: Exception
) -> None:
    assert settled(deliver, raising(error)) == ["ack"]


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("error", [ValueError(), SystemExit(1)])
def test_any_other_failure_is_nacked(deliver: Deliver, error: BaseException) -> None:
    assert settled(deliver, raising(error)) == ["nack"]


@pytest.mark.usefixtures("_registered")
def test_success_is_acked_once(deliver: Deliver) -> None:
    assert settled(deliver, lambda data, **attributes: None) == ["ack"]


def test_without_the_middleware_the_exception_is_like_any_other(
    deliver: Deliver,
) -> None:
    register()

    assert settled(deliver, raising(UnrecoverableException())) == ["nack"]


def test_both_names_are_found_in_contrib_too() -> None:
    assert rele.contrib.UnrecoverableMiddleWare is module.UnrecoverableMiddleWare
    assert rele.contrib.UnrecoverableException is module.UnrecoverableException
