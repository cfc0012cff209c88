"""Handling one received message: its hooks, its handler and its settlement, in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rele.declaration.handlers import check_result
from rele.declaration.skips import Skip
from rele.exceptions import DecodeError
from rele.handling.current import Handling
from rele.messages.codec import decode
from rele.middleware import run_middleware_hook

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message, Settlement
    from rele.handling.settlement import SettlementPolicy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The outcome of handling a message."""

    result: Any
    """The handler's return value; ``None`` if the message failed."""
    error: BaseException | None
    """Why the message failed; ``None`` if it succeeded."""
    settled_as: Settlement | None
    """How the message was settled; ``None`` if settling it failed."""
    skipped: Skip | None = None
    """Why the handler was not run, if the message succeeded without it."""


def handle(message: Message, subscription: Subscription, policy: SettlementPolicy) -> Outcome:
    """Handle ``message`` and settle it, exactly once.

    Errors of a filter, a handler, a decoder or a hook are not raised.
    """
    if policy.confirms_acks:
        message.acks_with_response = True
    with Handling(message, subscription) as handling:
        try:
            result, error = _process(handling, policy)
        except BaseException as escaped:
            logger.exception("The handling of a message of %s was ended.", subscription)
            _settle(message, subscription, message.nack)
            result, error = None, escaped
    skipped = handling.skipped if error is None else None
    return Outcome(result, error, message.settled_as, skipped)


def _process(handling: Handling, policy: SettlementPolicy) -> tuple[Any, BaseException | None]:
    message, subscription = handling.message, handling.subscription
    start_time = time.time()
    _run_hook("pre_process_message", subscription, message)
    result, error, settle_failed = _call_handler(handling, policy)
    if error is None:
        _settle(message, subscription, message.ack)
        policy.confirm(message)
        _run_hook("post_process_message_success", subscription, start_time, message)
    else:
        _run_hook("post_process_message_failure", subscription, error, start_time, message)
        _settle(message, subscription, settle_failed, message, error)
        policy.confirm(message)
    _run_hook("post_process_message")
    return result, error


def _call_handler(
    handling: Handling, policy: SettlementPolicy
) -> tuple[Any, BaseException | None, Callable[..., None]]:
    """Return the handler's result, or the error and the function that settles the message then."""
    message, subscription = handling.message, handling.subscription
    try:
        data = decode(message.data)
    except DecodeError as error:
        return None, error, policy.settle_undecodable
    except BaseException as error:  # noqa: BLE001 - whatever it is, the message has failed
        return None, error, policy.settle_failed
    try:
        result = subscription(data, **message.attributes)
        check_result(result, "The handler of %s", subscription)
        handling.run_checks()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the message has failed
        return None, error, policy.settle_failed
    return result, None, policy.settle_failed


def _settle(
    message: Message, subscription: Subscription, settle: Callable[..., None], *args: Any
) -> None:
    """Settle ``message``, unless a hook or the handler has settled it."""
    if message.settled_as is not None:
        return
    try:
        settle(*args)
    except BaseException:
        logger.exception("A message of %s could not be settled.", subscription)


def _run_hook(hook_name: str, *args: Any) -> None:
    try:
        run_middleware_hook(hook_name, *args)
    except BaseException:
        logger.exception("The hook %s was interrupted.", hook_name)
