"""Handling one received message in an event loop, by the same steps as :mod:`.handle`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from rele.declaration.handlers import check_result
from rele.declaration.skips import begin_call
from rele.declaration.subscription import call
from rele.exceptions import DecodeError
from rele.handling.async_handling import AsyncHandling, use_own_threads
from rele.handling.handle import settle, settle_escaped
from rele.handling.settlement import ACK_TIMEOUT, SettlementPolicy
from rele.handling.sync_calls import RunInThread
from rele.runtime.completion import has_running_loop

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message

logger = logging.getLogger(__name__)

Settle = Callable[..., None]
"""Settles a message that has failed; called with it and the error."""


async def process_async(
    message: Message,
    subscription: Subscription,
    policy: SettlementPolicy,
    run_in_thread: RunInThread | None = None,
) -> AsyncHandling:
    """Handle ``message`` and settle it, exactly once, without blocking the event loop.

    This is to run in a task of its own, so that what hooks and handler leave in context variables
    is gone afterwards. Their errors are not raised. If the task is cancelled, the handler is, and
    the message has failed.

    Args:
        message, subscription, policy: as for :func:`rele.handling.handle.handle`.
        run_in_thread: runs a function in a thread, where the loop handles many messages at a time;
            ``None`` if it runs in the thread that handles this message alone.
    """
    handling = AsyncHandling(message, subscription, run_in_thread)
    if policy.confirms_acks:
        message.acks_with_response = True
    if run_in_thread is not None:
        use_own_threads()
    begin_call(handling)
    try:
        await _process(handling, policy)
    except BaseException as escaped:  # noqa: BLE001 - raised to no one
        _raise_if_closing(escaped)
        settle_escaped(handling, escaped)
    if (end := handling.end()) is not None:
        await _finish(handling, "The end of its thread", end)
    return handling


async def _process(handling: AsyncHandling, policy: SettlementPolicy) -> None:
    message, subscription = handling.message, handling.subscription
    start_time = time.time()
    if (hooks := handling.run_hook("pre_process_message", subscription, message)) is not None:
        await hooks
    settle_failed = await _call_handler(handling, policy)
    error = handling.error
    if error is None:
        settle(handling, message.ack)
    else:
        # Before the settlement: the hook may settle the message itself.
        await _run_hook(
            handling, "post_process_message_failure", subscription, error, start_time, message
        )
        await _settle_failed(handling, policy, settle_failed, error)
    if policy.confirms_acks:
        await _confirm(handling, policy)
    if error is None:
        hooks = handling.run_hook("post_process_message_success", subscription, start_time, message)
        if hooks is not None:
            await _finish(handling, "The hook post_process_message_success", hooks)
    if (hooks := handling.run_hook("post_process_message")) is not None:
        await _finish(handling, "The hook post_process_message", hooks)


async def _call_handler(handling: AsyncHandling, policy: SettlementPolicy) -> Settle:
    """Note the handler's result or the error; return what settles the message if it has failed."""
    message, subscription = handling.message, handling.subscription
    settle_failed: Settle = policy.settle_failed
    try:
        try:
            data = policy.decode(message.data)
        except DecodeError:
            settle_failed = policy.settle_undecodable
            raise
        result = call(subscription, data, message.attributes)
        if type(result) is CoroutineType or isinstance(result, Awaitable):
            result = await result
        if result is not None:
            check_result(result, "The handler of %s", subscription)
        if handling.checks:
            await handling.calls.run(handling.run_checks)
        handling.result = result
    except BaseException as error:  # noqa: BLE001 - whatever it is, the message has failed
        _raise_if_closing(error)
        handling.error = error
    return settle_failed


def _raise_if_closing(error: BaseException) -> None:
    """Raise ``error`` if the event loop is gone, and nothing can be awaited any more."""
    if isinstance(error, GeneratorExit) and not has_running_loop():
        raise error


async def _settle_failed(
    handling: AsyncHandling, policy: SettlementPolicy, settle_failed: Settle, error: BaseException
) -> None:
    message = handling.message
    if not policy.may_publish(message, error):
        settle(handling, settle_failed, message, error)
        return
    try:
        await handling.calls.run(settle, handling, settle_failed, message, error)
    except asyncio.CancelledError:
        settle(handling, message.nack)


async def _confirm(handling: AsyncHandling, policy: SettlementPolicy) -> None:
    """Wait for Pub/Sub's response to an ack; report a failure."""
    message = handling.message
    response = policy.response_to_confirm(message)
    if response is None:
        return
    error: BaseException
    try:
        # Not by wait_for(), whose end would cancel the engine's future.
        waiting = asyncio.wrap_future(response)
        done, _ = await asyncio.wait([waiting], timeout=ACK_TIMEOUT)
        if not done:
            raise TimeoutError
        waiting.result()
    except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 - not acked
        error = failure
    else:
        return
    policy.report_unconfirmed(message, error)
    await _run_hook(handling, "post_ack_failure", handling.subscription, error, message)


async def _run_hook(handling: AsyncHandling, hook_name: str, *args: Any) -> None:
    if (hooks := handling.run_hook(hook_name, *args)) is not None:
        await _finish(handling, f"The hook {hook_name}", hooks)


async def _finish(handling: AsyncHandling, step: str, awaitable: Awaitable[None]) -> None:
    """Await a step after the handler. Its cancellation keeps the next ones from nothing."""
    try:
        await awaitable
    except asyncio.CancelledError:
        logger.warning("%s of a message of %s was cancelled.", step, handling.subscription)
