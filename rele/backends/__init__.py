"""Where published messages go: the contract, and Relé's own backends.

``RELE["PUBLISHER_BACKEND"]`` is the dotted path of a class, as Django's ``EMAIL_BACKEND`` is.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar
from uuid import uuid4

from rele.messages.codec import decode
from rele.runtime.interruptions import is_interruption
from rele.runtime.own_records import log_publishing

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, init=False)
class Message:
    """One message as a backend gets it: encoded, with all its attributes."""

    topic: str
    """The topic's id, without the project."""
    data: bytes
    attributes: dict[str, str]
    ordering_key: str
    when: datetime | timedelta | None = None
    """What ``rele.publish_later`` was given, in the backends for tests and development."""

    def __init__(
        self,
        topic: str,
        data: bytes,
        attributes: dict[str, str] | None = None,
        ordering_key: str = "",
        when: datetime | timedelta | None = None,
    ) -> None:
        # At once: a frozen dataclass sets its attributes one by one, which takes twice as long.
        vars(self).update(
            topic=topic,
            data=data,
            attributes={} if attributes is None else attributes,
            ordering_key=ordering_key,
        )
        if when is not None:  # else the class says so, which costs nothing
            vars(self)["when"] = when

    def json(self) -> Any:
        """The data that was published, decoded again.

        Raises:
            DecodeError: the bytes are not JSON.
        """
        return decode(self.data)


def scheduled(message: Message, when: datetime | timedelta) -> tuple[str, Message]:
    """The id by which ``message`` can be cancelled, and the message with this id and ``when``.

    The id is the attribute ``event_id``, which is added unless the message has one.
    """
    attributes = {"event_id": str(uuid4()), **message.attributes}
    later = Message(message.topic, message.data, attributes, message.ordering_key, when)
    return attributes["event_id"], later


@dataclass(frozen=True)
class Accepted:
    """A backend is sending the message."""

    future: Future[str]
    """The future of the message id; the outcome hooks run when it is done."""


@dataclass(frozen=True)
class Deferred:
    """A backend has stored the message. Another process sends it later, and runs the hooks then."""

    id: str
    """Identifies the stored message until it is sent."""
    advice: str = ""
    """One or two sentences on what sends it, which ``rele-cli publish`` shows."""

    @property
    def future(self) -> DeferredFuture:
        """A future that is done: there is nothing to wait for."""
        future = DeferredFuture()
        future.advice = self.advice
        future.set_result(self.id)
        return future


class DeferredFuture(Future[str]):
    """Of a message that is stored, and not sent yet."""

    advice = ""


@dataclass(frozen=True)
class Refused:
    """The message is not sent, and never will be."""

    error: BaseException

    @property
    def future(self) -> Future[str]:
        """A future that has failed."""
        future: Future[str] = Future()
        future.set_exception(self.error)
        return future


Outcome = Accepted | Deferred | Refused
"""The answer of a backend for one message."""

Report = Callable[[Future[str]], object]
"""Called with the future of an accepted message once it is done."""


class BaseBackend(ABC):
    """Takes encoded messages and returns an outcome for each.

    A backend runs no middleware hook. The publisher runs them: for an :class:`Accepted` message
    when its future is done, for a :class:`Refused` one at once, for a :class:`Deferred` one never.
    """

    #: The ``host:port`` that messages are sent to, for error messages; ``None`` if there is none.
    address: str | None = None

    outstanding: tuple[int, int] | None = None
    """How many messages it has not sent yet, and their bytes; ``None`` if it does not know."""

    @abstractmethod
    def __init__(self, config: Any) -> None:
        """Make the backend from a :class:`rele.config.Config`."""

    @abstractmethod
    def send(self, messages: Sequence[Message]) -> Sequence[Outcome | Future[str]]:
        """Take ``messages``; return an outcome for each, in their order. A future means Accepted.

        Does not wait, and raises no error for a message that cannot be sent: that message is
        refused, or its future fails.
        """

    def send_later(self, message: Message, when: datetime | timedelta) -> Deferred | Refused:
        """Store ``message``, to be sent at ``when``: a time, or so long from now.

        Only for a backend that can do so; the id of the answer is that of :meth:`cancel_scheduled`.
        """
        raise NotImplementedError

    def cancel_scheduled(self, event_id: str) -> bool:
        """Forget the message that :meth:`send_later` has stored with that id.

        Returns:
            whether it will never be sent; ``False`` if it was sent, is being sent, or is unknown.
        """
        raise NotImplementedError

    def run_in_thread(self, publish: Callable[[], Result]) -> Awaitable[Result] | None:
        """Call ``publish`` in another thread, for ``await rele.apublish``; ``None``: need not.

        For a backend whose :meth:`send` waits, such as for a database, and would block the event
        loop. ``publish`` sends, waits for the outcomes and runs the hooks.
        """
        return None

    def hand_over(
        self,
        messages: Sequence[Message],
        reports: Sequence[Report],
        *,
        timeout: float,
        at_once: bool,
    ) -> Sequence[Outcome | Future[str]]:
        """Take ``messages`` as :meth:`send` does, and report the outcome of each accepted one.

        By default this calls :meth:`send`. A backend that must be safe in signal handlers and
        finalisers implements it with one atomic operation, which takes all messages. It raises no
        error; a signal handler may raise an exception in it. If that happens before the atomic
        operation, no message may be sent; after it, all must be sent and reported.

        Args:
            messages: the messages.
            reports: for each message the function to call once with its future when that is done,
                in any thread.
            timeout: seconds that the backend may wait until there is room for the messages.
            at_once: whether the caller waits for the outcomes, so that nothing is gathered first.
        """
        try:
            answers = list(islice(self.send(messages) or (), len(messages)))
        except Exception as error:
            if is_interruption(error):
                raise
            return [Refused(error) for _ in messages]
        for answer, report in zip(answers, reports, strict=False):  # it may answer for too few
            future = answer.future if isinstance(answer, Accepted) else answer
            if hasattr(future, "add_done_callback"):
                future.add_done_callback(report)
        if at_once:
            self.send_at_once()
        return answers

    def send_at_once(self) -> None:
        """Send the accepted messages, instead of collecting more, without waiting; log an error."""
        try:
            self.flush(0)
        except Exception as error:
            if is_interruption(error):
                raise
            # The futures have the outcomes.
            log_publishing(logger, logging.ERROR, "%r could not send at once.", self, exc_info=True)

    def next_report(self, reported: SimpleQueue[Any], timeout: float) -> Any:
        """Wait for what the reports of this backend put into ``reported``, and return it.

        A backend with a thread that calls the reports lets that thread go on calling them here.

        Raises:
            queue.Empty: nothing was reported within ``timeout`` seconds.
        """
        return reported.get(timeout=timeout)

    @property
    def reports_here(self) -> bool:
        """Whether the current thread is the one that calls the reports of this backend.

        A call that waits there, in a hook or a callback, waits for futures instead of reports.
        """
        return False

    def flush(self, timeout: float | None = None) -> None:  # noqa: B027 - optional
        """Send the accepted messages at once, instead of collecting more.

        May wait up to ``timeout`` seconds until they are sent; ``None`` sets no limit, ``0`` means
        not to wait. The futures report the outcomes.
        """

    def close(self, timeout: float | None = None) -> None:
        """Flush for the last time: the process is about to end, or :meth:`release` follows.

        At the end of the process no thread can be started, from Python 3.12 on. :meth:`send` may
        still be called, and must then send before it returns.
        """
        self.flush(timeout)

    def release(self) -> None:  # noqa: B027 - optional
        """Close connections, because another backend replaces this one; nothing more is sent."""
