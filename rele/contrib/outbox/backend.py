"""Writes what is published into the outbox, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from rele.attributes import (
    MAX_ATTRIBUTES,
    MAX_MESSAGE_BYTES,
    MAX_ORDERING_KEY_BYTES,
    MAX_TOPIC_LENGTH,
)
from rele.backends import BaseBackend, Message
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.event_id import ATTRIBUTE, new_event_id
from rele.contrib.outbox.models import OutboxMessage
from rele.contrib.outbox.waking import wake_after_commit
from rele.publication import failed


class OutboxBackend(BaseBackend):
    """A row for each message; the relay sends it after the commit, and runs the outcome hooks.

    The result of a future is the ``event_id``, which the message gets as an attribute where it has
    none of that name.
    """

    defers_outcome = True

    def __init__(self, config: Any) -> None:
        self._alias = OutboxSettings.of(config.outbox).alias

    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        """Write ``messages``; all of them wait for the commit, or none."""
        rows = [_row(message) for message in messages]
        good = [row for row in rows if isinstance(row, OutboxMessage)]
        if len(good) == 1:
            good[0].save(force_insert=True, using=self._alias)
        elif good:
            OutboxMessage.objects.using(self._alias).bulk_create(good)
        if good:
            wake_after_commit(self._alias)
        return [failed(row) if isinstance(row, Exception) else _written(row) for row in rows]


def _row(message: Message) -> OutboxMessage | Exception:
    """The row, or why Pub/Sub or the table would refuse it: now it can still be rolled back."""
    attributes = message.attributes
    if ATTRIBUTE not in attributes:
        attributes = {**attributes, ATTRIBUTE: new_event_id()}
    if complaint := _complaint(message, attributes):
        return ValueError(complaint)
    return OutboxMessage(
        event_id=attributes[ATTRIBUTE],
        topic=message.topic,
        data=message.data,
        attributes=attributes,
        ordering_key=message.ordering_key,
    )


def _complaint(message: Message, attributes: Mapping[str, str]) -> str | None:
    if len(attributes) > MAX_ATTRIBUTES:
        return (
            f"A message takes {MAX_ATTRIBUTES} attributes, published_at and {ATTRIBUTE} among "
            f"them, not {len(attributes)}."
        )
    if len(message.data) > MAX_MESSAGE_BYTES:
        return f"A message takes {MAX_MESSAGE_BYTES} bytes of data, not {len(message.data)}."
    if len(message.topic) > MAX_TOPIC_LENGTH:
        return f"The topic's name is longer than {MAX_TOPIC_LENGTH} characters."
    if len(message.ordering_key.encode()) > MAX_ORDERING_KEY_BYTES:
        return f"The ordering key is longer than {MAX_ORDERING_KEY_BYTES} bytes."
    if "\0" in "".join((message.topic, message.ordering_key, *attributes, *attributes.values())):
        return "The topic, the ordering key and the attributes must not have a NUL character."
    return None


def _written(row: OutboxMessage) -> Future[str]:
    future: Future[str] = Future()
    future.set_result(row.event_id)
    return future
