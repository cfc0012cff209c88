"""Handling one received message: its hooks, its handler and its settlement, in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rele.declaration.handlers import check_result
from rele.declaration.skips import Skip, begin_call
from rele.declaration.subscription import call
from rele.exceptions import DecodeError
from rele.handling.current import Handling
from rele.middleware import run_message_hook

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
    """Handle ``message`` and settle it, exactly once; return what became of it.

    Errors of a filter, a handler, a decoder or a hook are not raised.
    """
    return outcome_of(process(message, subscription, policy))


def outcome_of(handling: Handling) -> Outcome:
    """The outcome of a handling that has ended."""
    return Outcome(
        handling.result,
        handling.error,
        handling.message.settled_as,
        handling.skipped if handling.error is None else None,
    )


def process(message: Message, subscription: Subscription, policy: SettlementPolicy) -> Handling:
    """As :func:`handle`, without a description of the outcome, which costs time.

    Hooks, filters and handler share a context (``contextvars``) that is the message's own. So what
    they leave in context variables, such as the language that Django has activated, is gone for the
    next message of the thread.
    """
    handling = Handling(message, subscription)
    if policy.confirms_acks:
        message.acks_with_response = True
    copy_context().run(_process, handling, policy)
    return handling


def _process(handling: Handling, policy: SettlementPolicy) -> None:
    """In the context of the message: run everything that belongs to it."""
    message, subscription = handling.message, handling.subscription
    begin_call(handling)
    try:
        start_time = time.time()
        run_message_hook("pre_process_message", subscription, message)
        settle_failed = _call_handler(handling, policy)
        if handling.error is None:
            if message.settled_as is None:
                try:
                    message.ack()
                except BaseException:  # noqa: BLE001 - logged; everything else continues
                    _report_unsettled(handling)
            if policy.confirms_acks:
                policy.confirm(message)
            run_message_hook("post_process_message_success", subscription, start_time, message)
        else:
            _conclude_failure(handling, policy, start_time, settle_failed)
        run_message_hook("post_process_message")
    except BaseException as escaped:  # noqa: BLE001 - raised to no one
        settle_escaped(handling, escaped)


def settle_escaped(handling: Handling, escaped: BaseException) -> None:
    """Log an exception that no step expected, and nack the message."""
    logger.error(
        "The handling of a message of %s was ended.", handling.subscription, exc_info=escaped
    )
    settle(handling, handling.message.nack)
    handling.result, handling.error = None, escaped


def _call_handler(handling: Handling, policy: SettlementPolicy) -> Callable[..., None]:
    """Note the handler's result or the error; return what settles the message if it has failed."""
    message, subscription = handling.message, handling.subscription
    settle_failed: Callable[..., None] = policy.settle_failed
    try:
        try:
            data = policy.decode(message.data)
        except DecodeError:
            settle_failed = policy.settle_undecodable
            raise
        result = call(subscription, data, message.attributes)
        if result is not None:
            check_result(result, "The handler of %s", subscription)
        if handling.checks:
            handling.run_checks()
        handling.result = result
    except BaseException as error:  # noqa: BLE001 - whatever it is, the message has failed
        handling.error = error
    return settle_failed


def _conclude_failure(
    handling: Handling,
    policy: SettlementPolicy,
    start_time: float,
    settle_failed: Callable[..., None],
) -> None:
    """Run the hook before the settlement: it may settle the message itself."""
    message, subscription, error = handling.message, handling.subscription, handling.error
    run_message_hook("post_process_message_failure", subscription, error, start_time, message)
    settle(handling, settle_failed, message, error)
    if policy.confirms_acks:
        policy.confirm(message)


def settle(handling: Handling, how: Callable[..., None], *args: Any) -> None:
    """Settle the message by ``how(*args)``, unless a hook or the handler has settled it."""
    if handling.message.settled_as is not None:
        return
    try:
        how(*args)
    except BaseException:  # noqa: BLE001 - logged; everything else continues
        _report_unsettled(handling)


def _report_unsettled(handling: Handling) -> None:
    logger.exception("A message of %s could not be settled.", handling.subscription)
