"""``@idempotent``, for handlers whose writes must take effect only once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, TypeVar, overload

from asgiref.sync import async_to_sync, sync_to_async
from django.db import router

from rele.contrib.inbox.batches import handle_batch_once
from rele.contrib.inbox.broken_transactions import unbroken_transaction
from rele.contrib.inbox.claiming import claimed
from rele.contrib.inbox.events import areport_duplicate, event_id_of, report_duplicate
from rele.contrib.inbox.in_orm_thread import in_orm_thread
from rele.contrib.inbox.models import InboxMessage
from rele.declaration.handlers import check_is_run, check_result
from rele.declaration.skips import note_skip
from rele.declaration.subscription import Subscription
from rele.handling.current import BatchHandling, Handling, current_handling
from rele.schema.callables import is_coroutine_function, name_of

Handler = TypeVar("Handler", bound=Callable[..., Any])

_claimed: ContextVar[Handling | BatchHandling | None] = ContextVar(
    "rele_inbox_claimed", default=None
)


@overload
def idempotent(handler: Handler, /) -> Handler: ...


@overload
def idempotent(*, using: str | None = None) -> Callable[[Handler], Handler]: ...


def idempotent(handler: Any = None, /, *, using: str | None = None) -> Any:
    """Let what ``handler`` writes to the database take effect once for each event::

        @sub(topic="order-paid")
        @idempotent
        def book(data, **kwargs):
            Booking.objects.create(order_id=data["id"])

    The handler runs in a transaction, in which the inbox records that the subscription has handled
    the event: the message's attribute ``event_id``, or the message id if it has none. The message
    is acknowledged after the commit. If its event is recorded already, the message is acknowledged
    and the hook ``post_process_message_duplicate`` runs instead of the handler. If another
    transaction is handling the event now, the handler waits for it up to 5 s (on SQLite, MySQL and
    MariaDB: up to the database's own limit); after that the message is nacked.

    If the handler raises anything, ``Drop`` and ``DeadLetter`` included, its writes and the record
    are rolled back. If it returns although its transaction can no longer be committed, it has
    failed with :class:`rele.contrib.inbox.exceptions.TransactionBrokenError`, and the message is
    nacked. So a handler that catches a database error needs a savepoint: a
    ``transaction.atomic()`` of its own around the statement that may fail.

    Only writes to that database take effect once. An e-mail or a request can be made by
    ``transaction.on_commit``, then it may get lost, or by the handler, then it may be made twice.

    A handler of batches runs in one transaction for each batch, without the messages that were
    handled before. If it raises a :class:`rele.PartialFailure`, its writes are committed, with a
    record of each message that the PartialFailure does not name: what the handler has written for
    those, it must have undone, by a savepoint. Any other exception rolls everything back.

    The transaction of an ``async def`` is that of its ORM calls, such as ``acreate``, and of what
    ``sync_to_async`` calls for it. Calls with ``thread_sensitive=False`` run in other threads, on
    other connections: what they write is not part of it.

    In a plain call, outside of a worker, the handler runs in a transaction and nothing is recorded.
    Called by another idempotent handler, it is a part of that one. Called by a handler that is not
    idempotent, it raises a RuntimeError.

    Args:
        handler: the function, or the method of a :class:`rele.Subscription`, under ``@sub``.
        using: alias of the database that the handler writes to; by default the one that the
            database routers choose for the inbox.

    Raises:
        RuntimeError: ``handler`` is a subscription already, or a generator function.
    """
    if handler is None:
        return partial(_idempotent, using=using)
    return _idempotent(handler, using=using)


def _idempotent(handler: Handler, *, using: str | None) -> Handler:
    _check(handler)
    make = _awaited_once if is_coroutine_function(handler) else _called_once
    once: Any = make(handler, using)
    once.__name__ = name_of(handler)  # which wraps() cannot copy from an object
    return once  # type: ignore[no-any-return] # it takes the same arguments


def _called_once(handler: Callable[..., Any], using: str | None) -> Callable[..., Any]:
    @wraps(handler)
    def handle_once(*args: Any, **attributes: Any) -> Any:
        alias = using or router.db_for_write(InboxMessage)
        handling = current_handling()
        if handling is None or handling is _claimed.get():
            with unbroken_transaction(alias):
                return handler(*args, **attributes)
        subscription = handling.subscription
        _check_call(subscription, handle_once)
        handle = partial(_handle, handling, handler)
        if isinstance(handling, BatchHandling):
            return handle_batch_once(handle, *args, handling=handling, alias=alias)
        with _claim(alias, handling) as is_first:
            if is_first:
                return _checked(handle(*args, **attributes), subscription)
        _skip(handling)
        return None

    return handle_once


def _awaited_once(
    handler: Callable[..., Awaitable[Any]], using: str | None
) -> Callable[..., Awaitable[Any]]:
    @wraps(handler)
    async def await_once(*args: Any, **attributes: Any) -> Any:
        alias = using or router.db_for_write(InboxMessage)
        handling = current_handling()
        if handling is None or handling is _claimed.get():
            async with in_orm_thread(unbroken_transaction(alias)):
                return await handler(*args, **attributes)
        subscription = handling.subscription
        _check_call(subscription, await_once)
        if isinstance(handling, BatchHandling):
            handle = partial(_handle, handling, async_to_sync(handler))
            handle_batch = sync_to_async(handle_batch_once, thread_sensitive=True)
            return await handle_batch(handle, *args, handling=handling, alias=alias)
        async with in_orm_thread(_claim(alias, handling)) as is_first:
            if is_first:
                with _claiming(handling):
                    return _checked(await handler(*args, **attributes), subscription)
        note_skip(subscription, "duplicate")
        await areport_duplicate(handling)
        return None

    return await_once


def _check(handler: Any) -> None:
    if isinstance(handler, Subscription):
        raise RuntimeError(f"{handler.path} is a subscription already: put @sub over @idempotent.")
    check_is_run(handler)


def _check_call(subscription: Subscription, function: Callable[..., Any]) -> None:
    # A subscription has one record for each event: a second function would find it and not run.
    if not subscription.calls(function):
        raise RuntimeError(
            f"{function.__module__}.{function.__qualname__} is idempotent, but not the handler of "
            f"{subscription}: put @idempotent directly under @sub."
        )


def _claim(alias: str, handling: Handling) -> AbstractContextManager[bool]:
    event_id = event_id_of(handling.message)
    return claimed(alias, handling.subscription.name, event_id, handling.check_at_end)


def _handle(
    handling: Handling | BatchHandling, handler: Callable[..., Any], *args: Any, **attributes: Any
) -> Any:
    with _claiming(handling):
        return handler(*args, **attributes)


@contextmanager
def _claiming(handling: Handling | BatchHandling) -> Iterator[None]:
    """Within the block, any other idempotent function is a part of the current handler."""
    token = _claimed.set(handling)
    try:
        yield
    finally:
        _claimed.reset(token)


def _checked(result: Any, subscription: Subscription) -> Any:
    # Here, since the callback checks it only after the record is committed.
    check_result(result, "The handler of %s", subscription)
    return result


def _skip(handling: Handling) -> None:
    note_skip(handling.subscription, "duplicate")
    report_duplicate(handling.message, handling.subscription, event_id_of(handling.message))
