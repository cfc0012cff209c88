"""Publishing a message that is sent later, and cancelling it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from rele.backends import BaseBackend, Deferred, Message, Refused
from rele.runtime.interruptions import is_interruption
from rele.sending.outstanding import OutstandingPublishes
from rele.sending.publication import Publication

Result = TypeVar("Result")


@dataclass(frozen=True)
class ScheduledMessage:
    """A message that is to be sent later, as :func:`rele.publish_later` returns it."""

    event_id: str
    """Its attribute ``event_id``, by which :func:`rele.cancel_scheduled` finds it."""
    _scheduler: Scheduler = field(repr=False, compare=False)

    def cancel(self) -> bool:
        """Let it never be sent: see :func:`rele.cancel_scheduled`."""
        return self._scheduler.cancel(self.event_id)

    async def acancel(self) -> bool:
        """As :meth:`cancel`, without blocking the event loop."""
        return await self._scheduler.acancel(self.event_id)


class Scheduler:
    """Has a backend store messages until they are due.

    Args:
        backend: which stores them.
        encoder: a JSONEncoder class.
        outstanding: of the publisher.
    """

    def __init__(
        self,
        backend: BaseBackend,
        encoder: type[json.JSONEncoder],
        outstanding: OutstandingPublishes,
    ) -> None:
        self._backend = backend
        self._encoder = encoder
        self._outstanding = outstanding

    @property
    def can_send_later(self) -> bool:
        """Whether the backend implements it."""
        send_later = getattr(type(self._backend), "send_later", None)
        return send_later not in (None, BaseBackend.send_later)

    def publish(
        self, topic: str, data: Any, when: datetime | timedelta, attributes: Mapping[str, Any]
    ) -> ScheduledMessage:
        """Have ``data`` sent to ``topic`` at ``when``.

        The hook ``pre_publish`` runs now, ``post_publish_failure`` if the message is refused now.

        Raises:
            TypeError: ``when`` is neither a datetime nor a timedelta.
            Exception: why the message is refused.
        """
        if not isinstance(when, (datetime, timedelta)):
            raise TypeError(
                f"`when` must be a datetime or a timedelta, not {when!r}: such as "
                "`when=timedelta(minutes=30)`."
            )
        publication = Publication(topic, data, attributes, self._outstanding)
        publication.run_pre_publish()
        answer = self._store(publication.encode(self._encoder), when)
        if isinstance(answer, Refused):
            publication.conclude(answer.error)
            raise answer.error
        return ScheduledMessage(answer.id, self)

    async def apublish(
        self, topic: str, data: Any, when: datetime | timedelta, attributes: Mapping[str, Any]
    ) -> ScheduledMessage:
        """As :meth:`publish`, without blocking the event loop."""
        return await self._in_thread(partial(self.publish, topic, data, when, attributes))

    def cancel(self, event_id: str) -> bool:
        """Whether the message will never be sent from now on.

        Raises:
            TypeError: ``event_id`` is not a string.
        """
        if not isinstance(event_id, str):
            raise TypeError(f"The event id is a string, not {event_id!r}.")
        return self._backend.cancel_scheduled(event_id)

    async def acancel(self, event_id: str) -> bool:
        """As :meth:`cancel`, without blocking the event loop."""
        return await self._in_thread(partial(self.cancel, event_id))

    def _store(self, message: Message | Refused, when: datetime | timedelta) -> Deferred | Refused:
        if isinstance(message, Refused):
            return message
        try:
            return self._backend.send_later(message, when)
        except Exception as error:
            if is_interruption(error):
                raise
            return Refused(error)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        awaitable = self._backend.run_in_thread(call)
        return call() if awaitable is None else await awaitable
