"""The process's one publisher, and the shortcut to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rele import config as configuration
from rele.backends import BaseBackend
from rele.config import Config, init_global_publisher
from rele.exceptions import ConfigurationError
from rele.runtime.in_use import IN_USE
from rele.runtime.publisher_in_use import PublisherInUse

if TYPE_CHECKING:
    from rele.sending.publisher import Publisher
    from rele.sending.scheduling import ScheduledMessage, Scheduler

__all__ = [
    "acancel_scheduled",
    "apublish",
    "apublish_later",
    "apublish_many",
    "cancel_scheduled",
    "flush",
    "get_publisher",
    "init_global_publisher",
    "publish",
    "publish_later",
    "publish_many",
]


def publish(
    topic: str,
    data: Any,
    *,
    blocking: bool | None = None,
    timeout: float | None = None,
    raise_exception: bool = True,
    **kwargs: str,
) -> Future[str]:
    """Publish ``data`` to ``topic`` through the process's one publisher::

        import rele

        rele.publish(topic="lets-tell-everyone", data={"foo": "bar"}, myevent="arrival")

    The publisher is made at the first call, and anew in each forked process.
    ``docs/publishing.rst`` says when the message is sent, and how it is retried.

    Args:
        topic: the topic's id, without the project.
        data: any value that the encoder can encode.
        blocking: wait until Pub/Sub has accepted the message; ``None``: as PUBLISHER_BLOCKING says.
            In a running event loop this stops all tasks, which is logged once: use
            :func:`apublish`.
        timeout: seconds that a blocking publish waits; ``None``: as PUBLISHER_TIMEOUT says.
        raise_exception: whether a failure is raised here. The hook and the future report it in
            either case.
        kwargs: the message's attributes; ``ordering_key`` becomes its ordering key.

    Returns:
        a future of the message id.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
        Exception: any error of :meth:`rele.client.Publisher.publish`.
    """
    call = object()
    in_use = _enter(call)
    try:
        return in_use.publisher.publish(topic, data, blocking, timeout, raise_exception, **kwargs)
    finally:
        in_use.calls.pop(call, None)


def publish_many(
    topic: str,
    messages: Iterable[Any],
    *,
    blocking: bool | None = None,
    timeout: float | None = None,
    raise_exception: bool = True,
) -> list[Future[str]]:
    """Publish several messages to ``topic`` together::

        rele.publish_many("order-paid", [{"id": 42}, ({"id": 43}, {"country": "ES"})])

    Args:
        topic: the topic's id, without the project.
        messages: for each message its data, or a tuple of data and attributes (a mapping).
        blocking, timeout, raise_exception: as for :func:`publish`; the timeout is for all messages
            together.

    Returns:
        a future of the message id for each message, in the same order.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
        Exception: any error of :meth:`rele.client.Publisher.publish_many`.
    """
    call = object()
    in_use = _enter(call)
    try:
        return in_use.publisher.publish_many(
            topic, messages, blocking=blocking, timeout=timeout, raise_exception=raise_exception
        )
    finally:
        in_use.calls.pop(call, None)


async def apublish(
    topic: str,
    data: Any,
    *,
    timeout: float | None = None,
    raise_exception: bool = True,
    **kwargs: str,
) -> Future[str]:
    """Publish ``data`` to ``topic``, and wait for the outcome without blocking the event loop::

        await rele.apublish("lets-tell-everyone", {"foo": "bar"}, myevent="arrival")

    Other tasks run meanwhile. If this task is cancelled, the message is sent all the same, unless
    it was still waiting for room in a full publisher (see PUBLISHER_LIMITS).

    The hook ``pre_publish`` runs in the event loop. The hook of the outcome runs before this
    returns, in the thread that learns of the outcome, or after the timeout in the event loop. If
    PUBLISHER_BACKEND writes messages to a database, all of it runs in the thread of the context's
    ORM calls, and in their transaction.

    Args:
        topic: the topic's id, without the project.
        data: any value that the encoder can encode.
        timeout: seconds to wait; ``None``: as PUBLISHER_TIMEOUT says.
        raise_exception: whether a failure is raised here. The hook and the future report it in
            either case.
        kwargs: the message's attributes; ``ordering_key`` becomes its ordering key.

    Returns:
        a future of the message id. It is done, except after a timeout that is not raised.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
        Exception: any error of a blocking :func:`publish`.
    """
    call = object()
    in_use = _enter(call)
    try:
        return await in_use.publisher.apublish(topic, data, timeout, raise_exception, **kwargs)
    finally:
        in_use.calls.pop(call, None)


async def apublish_many(
    topic: str,
    messages: Iterable[Any],
    *,
    timeout: float | None = None,
    raise_exception: bool = True,
) -> list[Future[str]]:
    """Publish several messages to ``topic`` together, as :func:`apublish` does one::

        await rele.apublish_many("order-paid", [{"id": 42}, ({"id": 43}, {"country": "ES"})])

    Args:
        topic: the topic's id, without the project.
        messages: for each message its data, or a tuple of data and attributes (a mapping).
        timeout, raise_exception: as for :func:`apublish`; the timeout is for all messages together.

    Returns:
        a future of the message id for each message, in the same order.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
        Exception: any error of a blocking :func:`publish_many`.
    """
    call = object()
    in_use = _enter(call)
    try:
        return await in_use.publisher.apublish_many(
            topic, messages, timeout=timeout, raise_exception=raise_exception
        )
    finally:
        in_use.calls.pop(call, None)


def publish_later(
    topic: str, data: Any, *, when: datetime | timedelta, **attributes: str
) -> ScheduledMessage:
    """Publish ``data`` to ``topic`` at a later time, unless it is cancelled before::

        reminder = rele.publish_later("cart-forgotten", {"id": 42}, when=timedelta(hours=1))
        ...
        reminder.cancel()  # in any process: rele.cancel_scheduled(event_id)

    The message is stored in the transaction of its caller, and sent from ``when`` on. With an
    ordering key it joins the messages of its key at that time. The hook ``pre_publish`` runs now,
    those of the outcome in the process that sends the message.

    Args:
        topic: the topic's id, without the project.
        data: any value that the encoder can encode.
        when: an aware datetime, or so long from now, by the database's clock. A time that has
            passed means as soon as possible.
        attributes: the message's; ``ordering_key`` becomes its ordering key.

    Raises:
        ConfigurationError: Relé is not set up, or PUBLISHER_BACKEND cannot send messages later.
        TypeError, ValueError: as for :func:`publish`, or ``when`` cannot be understood.
        Exception: the message cannot be stored.
    """
    with _scheduler() as scheduler:
        return scheduler.publish(topic, data, when, attributes)


async def apublish_later(
    topic: str, data: Any, *, when: datetime | timedelta, **attributes: str
) -> ScheduledMessage:
    """As :func:`publish_later`, without blocking the event loop.

    All of it runs in the thread of the context's ORM calls, and in their transaction.
    """
    with _scheduler() as scheduler:
        return await scheduler.apublish(topic, data, when, attributes)


def cancel_scheduled(event_id: str) -> bool:
    """Let a message of :func:`publish_later` never be sent.

    Args:
        event_id: of the message, as ``ScheduledMessage.event_id`` has it.

    Returns:
        ``True`` if it will never be sent, once the transaction of the caller has committed.
        ``False`` if it is due or was sent, was cancelled before, or there is none.

    Raises:
        ConfigurationError: as for :func:`publish_later`.
        Exception: the database cannot be asked.
    """
    with _scheduler() as scheduler:
        return scheduler.cancel(event_id)


async def acancel_scheduled(event_id: str) -> bool:
    """As :func:`cancel_scheduled`, without blocking the event loop."""
    with _scheduler() as scheduler:
        return await scheduler.acancel(event_id)


def flush(timeout: float | None = None) -> bool:
    """Send all messages published in this process at once, and wait until the hooks have run.

    Args:
        timeout: seconds; by default PUBLISHER_TIMEOUT.

    Returns:
        whether Pub/Sub has accepted all messages in time.
    """
    in_use = IN_USE.current_publisher()
    if in_use is None:
        return True
    publisher: Publisher = in_use.publisher
    return publisher.flush(in_use.config.publisher_timeout if timeout is None else timeout)


def forget() -> None:
    """Send what is outstanding, then forget configuration, publisher and middleware."""
    IN_USE.forget()


def forget_publisher() -> None:
    """Send what is outstanding.

    The next publish makes a new publisher, from the environment as it is at that time.
    """
    IN_USE.forget_publisher()


def sent_through(backend: BaseBackend) -> AbstractContextManager[None]:
    """For tests: within the block, :func:`publish` sends all messages to ``backend``.

    Calling ``setup`` or ``forget`` in the block does not change this. If the project has no
    settings, this works as if ``RELE`` were empty.
    """
    return IN_USE.sending_to(backend)


def get_publisher() -> Publisher:
    """Return the process's publisher; make it now if there is none yet.

    Raises:
        ConfigurationError: Relé is not set up and finds no settings.
    """
    return _get_in_use().publisher


def _enter(call: object) -> PublisherInUse[Publisher]:
    """Return the publisher; it is kept open until ``call`` is removed from its calls."""
    while True:
        in_use = _get_in_use()
        in_use.calls[call] = None
        if not in_use.is_retired:
            return in_use
        in_use.calls.pop(call, None)  # another thread has called setup() just now


@contextmanager
def _scheduler() -> Iterator[Scheduler]:
    """The publisher's part that sends messages later; within the block it is kept open.

    Raises:
        ConfigurationError: its backend sends messages at once alone.
    """
    call = object()
    in_use = _enter(call)
    try:
        scheduler: Scheduler = in_use.publisher.scheduler
        if not scheduler.can_send_later:
            raise ConfigurationError(_cannot_send_later(in_use.publisher.backend))
        yield scheduler
    finally:
        in_use.calls.pop(call, None)


def _cannot_send_later(backend: BaseBackend) -> str:
    return (
        f"{type(backend).__qualname__} sends messages at once, and cannot send one later: let "
        "RELE['PUBLISHER_BACKEND'] name a backend that stores messages in the database, as "
        "docs/transactions.rst shows."
    )


def _get_in_use() -> PublisherInUse[Publisher]:
    in_use = IN_USE.current_publisher()
    return in_use or IN_USE.make_publisher(_configure_if_possible(), _make)


def _configure_if_possible() -> Config:
    try:
        return configuration.current()
    except ConfigurationError:
        if IN_USE.backend is None:
            raise
        return Config({})


def _make(config: Config) -> PublisherInUse[Publisher]:
    # Imported here because it loads Google's modules, which take long, and not every command needs.
    from rele.sending.publisher import Publisher

    publisher = Publisher(
        IN_USE.backend or config.make_publisher_backend(),
        config.encoder,
        config.publisher_timeout,
        config.publisher_blocking,
        forked=config.publisher_options.forked,
    )
    return PublisherInUse(publisher, config)
