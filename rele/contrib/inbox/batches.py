"""``@idempotent`` for a handler of batches: one transaction for each batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rele.contrib.inbox.claiming_together import ClaimedEvents, claimed_together
from rele.contrib.inbox.events import event_id_of, report_duplicate
from rele.contrib.inbox.exceptions import UnusableEventIdError
from rele.declaration.handlers import check_result
from rele.exceptions import PartialFailure
from rele.handling.batch_message import BatchMessage, check_named, received
from rele.handling.current import BatchHandling


def handle_batch_once(
    handle: Callable[[list[BatchMessage]], Any],
    messages: list[BatchMessage],
    *,
    handling: BatchHandling,
    alias: str,
) -> Any:
    """Call ``handle`` with those of ``messages`` whose events were not handled before.

    Args:
        handle: the handler; not called where nothing is left.
        messages: of the batch.
        handling: of the batch.
        alias: of the database.

    Raises:
        PartialFailure: what the handler has raised for some messages; all else is committed.
        BaseException: what it has raised otherwise; everything is rolled back.
    """
    first: dict[str, BatchMessage] = {}
    repeated: list[tuple[BatchMessage, str]] = []
    event_ids, unusable = _event_ids_of(messages)
    for message, event_id in event_ids.items():
        if first.setdefault(event_id, message) is not message:
            repeated.append((message, event_id))
    old: list[str] = []
    result: Any = None
    failure: PartialFailure | None = None
    try:
        if first:
            result, failure = _handle_new(handle, first, old, handling, alias)
    except BaseException:
        for message in messages:
            message.withdraw_ack()
        raise
    finally:
        for event_id in old:
            _skip(first[event_id], event_id, handling)
    for message, event_id in repeated:
        _follow(message, first[event_id], event_id, failure, handling)
    if unusable:
        raise PartialFailure({**unusable, **({} if failure is None else failure.errors)})
    if failure is not None:
        raise failure
    return result


def _event_ids_of(
    messages: list[BatchMessage],
) -> tuple[dict[BatchMessage, str], dict[BatchMessage, BaseException]]:
    """The event id of each message, and what is wrong with those that cannot be recorded."""
    event_ids: dict[BatchMessage, str] = {}
    unusable: dict[BatchMessage, BaseException] = {}
    for message in messages:
        try:
            event_ids[message] = event_id_of(received(message))
        except UnusableEventIdError as error:
            unusable[message] = error
    return event_ids, unusable


def _handle_new(
    handle: Callable[[list[BatchMessage]], Any],
    messages: dict[str, BatchMessage],
    old: list[str],
    handling: BatchHandling,
    alias: str,
) -> tuple[Any, PartialFailure | None]:
    """Handle those of ``messages``, by their event ids, that are new, in one transaction.

    The other ids are appended to ``old``.
    """
    failure: PartialFailure | None = None
    subscription = handling.subscription.name
    with claimed_together(alias, subscription, list(messages), handling.check_at_end) as claimed:
        old += [event_id for event_id in messages if event_id not in claimed]
        new = [message for event_id, message in messages.items() if event_id in claimed]
        result: Any = None
        if new:
            with claimed.left_unbroken():
                try:
                    result = handle(new)
                except PartialFailure as raised:
                    failure = raised
                    check_named(failure, new)
                check_result(result, "The handler of %s", handling.subscription)
            _release_failed(claimed, messages, failure)
    return result, failure


def _release_failed(
    claimed: ClaimedEvents, messages: dict[str, BatchMessage], failure: PartialFailure | None
) -> None:
    """Record no message that has failed."""
    claimed.release(
        event_id
        for event_id, message in messages.items()
        if event_id in claimed and _error_of(message, failure) is not None
    )


def _error_of(message: BatchMessage, failure: PartialFailure | None) -> BaseException | None:
    named = None if failure is None else failure.errors.get(message)
    return named or message.failure(None)


def _follow(
    message: BatchMessage,
    first: BatchMessage,
    event_id: str,
    failure: PartialFailure | None,
    handling: BatchHandling,
) -> None:
    """Let a second message about an event end as the first one in the batch."""
    error = _error_of(first, failure)
    if error is None:
        _skip(message, event_id, handling)
    else:
        message.nack(error)


def _skip(message: BatchMessage, event_id: str, handling: BatchHandling) -> None:
    handling.skip(received(message), "duplicate")
    report_duplicate(received(message), handling.subscription, event_id)
