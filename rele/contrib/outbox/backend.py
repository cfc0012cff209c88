"""Writes published messages into the outbox, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async

from rele.backends import BaseBackend, Deferred, Message, Refused, Result
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.event_id import ATTRIBUTE, new_event_id
from rele.contrib.outbox.exceptions import named_where_missing
from rele.contrib.outbox.models import CAUSED_BY_RECORD, OutboxMessage, State
from rele.contrib.outbox.routing import chosen_alias, warn_of_another_transaction
from rele.contrib.outbox.scheduling import cancel, due_at
from rele.contrib.outbox.waking import wake_after_commit
from rele.messages.limits import MAX_ATTRIBUTES, check_size
from rele.runtime.own_records import is_caused_by_own_record

_ADVICE = (
    "Stored in the outbox. A relay sends it: `manage.py rele relay` or `manage.py runrele --relay`."
)


class OutboxBackend(BaseBackend):
    """Writes a row for each message. A relay sends it after the commit, and runs the outcome hooks.

    The id of a deferred message is its attribute ``event_id``, which is added unless the message
    has one.
    """

    outstanding = (0, 0)
    """What is stored waits for a relay."""

    def __init__(self, config: Any) -> None:
        self._aliases = OutboxSettings.in_config(config).aliases
        self._alias = self._aliases[0]

    def send(self, messages: Sequence[Message]) -> list[Deferred | Refused]:
        """Write ``messages``, all of them or none."""
        rows = [_row(message) for message in messages]
        alias = chosen_alias() or self._alias
        good = [row for row in rows if isinstance(row, OutboxMessage)]
        if good:
            warn_of_another_transaction(alias)
            with named_where_missing(alias):
                _write(good, alias)
            wake_after_commit(alias)
        return [
            row if isinstance(row, Refused) else Deferred(row.event_id, _ADVICE) for row in rows
        ]

    def send_later(self, message: Message, when: datetime | timedelta) -> Deferred | Refused:
        """Write ``message`` as one that is due at ``when``, by the database's clock."""
        row = _row(message)
        if isinstance(row, Refused):
            return row
        alias = chosen_alias() or self._alias
        warn_of_another_transaction(alias)
        with named_where_missing(alias):
            row.state = State.SCHEDULED
            row.next_attempt_at = due_at(alias, when)
            _write([row], alias)
        return Deferred(row.event_id, _ADVICE)

    def cancel_scheduled(self, event_id: str) -> bool:
        """Delete the message, unless a relay has made it due, in whichever database it is."""
        return "\0" not in event_id and any(
            self._cancel(alias, event_id) for alias in self._aliases
        )

    def _cancel(self, alias: str, event_id: str) -> bool:
        with named_where_missing(alias):
            return cancel(alias, event_id)

    def run_in_thread(self, publish: Callable[[], Result]) -> Awaitable[Result]:
        """Call ``publish`` in the thread in which the caller's ORM calls run.

        So it writes in the transaction that they have begun, if there is one.
        """
        return sync_to_async(publish, thread_sensitive=True)()


def _write(rows: Sequence[OutboxMessage], alias: str) -> None:
    if len(rows) == 1:
        rows[0].save(force_insert=True, using=alias)
    else:
        OutboxMessage.objects.using(alias).bulk_create(rows)


def _row(message: Message) -> OutboxMessage | Refused:
    """The row, or why Pub/Sub or the table would refuse the message with its event id."""
    attributes = message.attributes
    if ATTRIBUTE not in attributes:
        attributes = {**attributes, ATTRIBUTE: new_event_id()}
    try:
        _check(message, attributes)
    except ValueError as error:
        return Refused(error)
    event_id = attributes[ATTRIBUTE]
    if is_caused_by_own_record():
        attributes = {**attributes, CAUSED_BY_RECORD: ""}
    return OutboxMessage(
        event_id=event_id,
        topic=message.topic,
        data=message.data,
        attributes=attributes,
        ordering_key=message.ordering_key,
    )


def _check(message: Message, attributes: Mapping[str, str]) -> None:
    """Raise if the message, event id included, breaks a limit of Pub/Sub or has a NUL character."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(
            f"A message can have {MAX_ATTRIBUTES} attributes, published_at and {ATTRIBUTE} "
            f"included, not {len(attributes)}."
        )
    check_size(message.topic, message.data, attributes, message.ordering_key)
    if "\0" in "".join((message.ordering_key, *attributes, *attributes.values())):
        raise ValueError("The ordering key and the attributes must not have a NUL character.")
