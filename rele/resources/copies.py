"""Subscriptions that exist while somebody looks at messages, and take them from nobody else."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from google.api_core import exceptions
from google.api_core.retry import Retry

from rele.exceptions import ResourceError
from rele.resources.changes import CREATE_SUBSCRIPTION
from rele.resources.parallel_calls import DELETE_SUBSCRIPTION, explained
from rele.resources.seeking import Position

_LEASE = 60
"""Seconds. Messages are acknowledged as soon as they are shown."""

_DELETED_WITHIN = 10.0
"""Seconds."""

_EXPIRES_AFTER = timedelta(days=1)
"""The least that Pub/Sub permits: then it deletes what a killed process has left behind."""


@contextmanager
def copied(subscriber: Any, project: str, topic: str, original: Any = None) -> Iterator[str]:
    """Within the block, a subscription of ``topic``; the block is given its full path.

    Args:
        subscriber: Google's subscriber client.
        project: where it is created; the topic may be another project's.
        topic: the full path of the topic.
        original: Google's Subscription whose filter it is to have; ``None``: it has none.

    Raises:
        ResourceError: Pub/Sub refused it.
    """
    path = f"projects/{project}/subscriptions/rele-tail-{secrets.token_hex(6)}"
    try:
        _create(subscriber, path, topic, original)
        yield path
    except ResourceError:
        with suppress(ResourceError):  # the first error says what is wrong
            _delete(subscriber, path)
        raise
    except BaseException:  # Ctrl-C, too, while Pub/Sub creates it
        _delete(subscriber, path)
        raise
    else:
        _delete(subscriber, path)


def _create(subscriber: Any, path: str, topic: str, original: Any) -> None:
    with explained(CREATE_SUBSCRIPTION, path):
        subscriber.create_subscription(
            request={
                "name": path,
                "topic": topic,
                "ack_deadline_seconds": _LEASE,
                "expiration_policy": {"ttl": _EXPIRES_AFTER},
                "enable_message_ordering": True,
                "filter": "" if original is None else original.filter,
            }
        )


def start_as(original: Position, copy: Position, path: str) -> None:
    """Let a copy have the messages that wait in the original.

    Args:
        original: the position of the original.
        copy: that of the copy.
        path: the full path of the copy.

    Raises:
        ResourceError: Pub/Sub refused it.
    """
    snapshot = path.replace("/subscriptions/", "/snapshots/")
    original.create_snapshot(snapshot)
    try:
        copy.seek_to_snapshot(snapshot)
    finally:
        original.delete_snapshot(snapshot)


def _delete(subscriber: Any, path: str) -> None:
    """Delete it, unless that takes long: somebody waits for the end."""
    retry = Retry(timeout=_DELETED_WITHIN)
    try:
        with explained(DELETE_SUBSCRIPTION, path, exceptions.NotFound):
            subscriber.delete_subscription(
                request={"subscription": path}, retry=retry, timeout=_DELETED_WITHIN
            )
    except exceptions.NotFound:
        return
    except ResourceError as error:
        raise type(error)(
            f"{str(error).rstrip('.')}. Pub/Sub deletes it by itself a day later."
        ) from error.__cause__
