"""What a message leaves behind in its thread is gone for the next one."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from django.utils import timezone, translation

from rele import Callback, Subscription
from rele.handling.current import current_handling
from tests.support.deliveries import Delivery
from tests.support.recorder import Recorder, raising

Deliver = Callable[..., Delivery]

tenant: ContextVar[str] = ContextVar("tenant", default="none")


@pytest.mark.parametrize(
    ("leave", "look"),
    [
        (lambda: tenant.set("shop"), tenant.get),
        (lambda: translation.activate("de"), translation.get_language),
        (lambda: timezone.activate("Asia/Tokyo"), timezone.get_current_timezone_name),
        (lambda: decimal.setcontext(decimal.Context(prec=3)), lambda: decimal.getcontext().prec),
    ],
    ids=["a context variable", "Django's language", "Django's time zone", "decimal's context"],
)
@pytest.mark.parametrize("error", [None, ValueError(), SystemExit(1)], ids=repr)
@pytest.mark.usefixtures("no_middleware")
def test_the_next_message_of_the_thread_finds_nothing(
    deliver: Deliver,
    leave: Callable[[], object],
    look: Callable[[], object],
    error: BaseException | None,
) -> None:
    seen: list[object] = []

    def handle(data: Any, **attributes: Any) -> None:
        seen.append(look())
        leave()
        seen.append(look())
        if error is not None:
            raise error

    callback = Callback(Subscription(handle, "photos"))
    callback(deliver().message)
    callback(deliver().message)

    assert seen[:2] == seen[2:]
    assert seen[0] != seen[1]
    assert look() == seen[0]


@pytest.mark.parametrize(
    "hook", ["pre_process_message", "post_process_message_success", "post_process_message"]
)
def test_what_a_hook_leaves_is_gone_too(hooks: Recorder, deliver: Deliver, hook: str) -> None:
    seen: list[str] = []

    def leave(*_: Any) -> None:
        seen.append(tenant.get())
        tenant.set("shop")

    hooks.actions[hook] = leave

    for _ in range(2):
        Callback(Subscription(lambda data, **attributes: None, "photos"))(deliver().message)

    assert seen == ["none", "none"]


def test_hooks_filter_and_handler_of_a_message_share_what_is_left(
    hooks: Recorder, deliver: Deliver
) -> None:
    seen: list[str] = []

    def look(*_: Any, **attributes: Any) -> bool:
        seen.append(tenant.get())
        return True

    hooks.actions = {
        "pre_process_message": lambda *_: tenant.set("shop"),
        "post_process_message_success": look,
        "post_process_message": look,
    }

    Callback(Subscription(look, "photos", filter_by=look))(deliver().message)

    assert seen == ["shop"] * 4


@pytest.mark.usefixtures("no_middleware")
def test_a_message_finds_what_the_caller_has_set(deliver: Deliver) -> None:
    seen: list[str] = []
    token = tenant.set("test")

    Callback(Subscription(lambda data, **attributes: seen.append(tenant.get()), "photos"))(
        deliver().message
    )

    tenant.reset(token)
    assert seen == ["test"]


@pytest.mark.usefixtures("no_middleware")
def test_after_a_message_none_is_current(deliver: Deliver) -> None:
    Callback(Subscription(raising(ValueError()), "photos"))(deliver().message)

    assert current_handling() is None
