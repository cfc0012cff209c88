"""Calls of Pub/Sub, several at a time, and the errors of refused calls."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from types import NoneType
from typing import TypeVar

from google.api_core import exceptions

from rele.endpoint import what_to_check
from rele.exceptions import ResourceError
from rele.resources.changes import CREATE_SUBSCRIPTION, CREATE_TOPIC, UPDATE_SUBSCRIPTION

MAX_CALLS = 32
"""The most calls at a time: 100 subscriptions are read in four times the latency of a call."""

READ_SUBSCRIPTION = "read subscription"
READ_TOPIC = "read topic"
LIST_SUBSCRIPTIONS_OF = "list the subscriptions of"
PULL_FROM = "pull from"
ACKNOWLEDGE_IN = "acknowledge messages of"
LEASE_IN = "change the leases of messages of"
PUBLISH_TO = "publish to"
SEEK = "seek"
CREATE_SNAPSHOT = "create snapshot"
READ_SNAPSHOT = "read snapshot"
DELETE_SNAPSHOT = "delete snapshot"
DELETE_SUBSCRIPTION = "delete subscription"

_PERMISSIONS = {
    READ_SUBSCRIPTION: "pubsub.subscriptions.get",
    READ_TOPIC: "pubsub.topics.get",
    LIST_SUBSCRIPTIONS_OF: "pubsub.subscriptions.list",
    CREATE_TOPIC: "pubsub.topics.create",
    CREATE_SUBSCRIPTION: "pubsub.subscriptions.create and pubsub.topics.attachSubscription",
    UPDATE_SUBSCRIPTION: "pubsub.subscriptions.update",
    PULL_FROM: "pubsub.subscriptions.consume",
    ACKNOWLEDGE_IN: "pubsub.subscriptions.consume",
    LEASE_IN: "pubsub.subscriptions.consume",
    PUBLISH_TO: "pubsub.topics.publish",
    SEEK: "pubsub.subscriptions.consume and pubsub.snapshots.seek",
    CREATE_SNAPSHOT: "pubsub.snapshots.create and pubsub.subscriptions.consume",
    READ_SNAPSHOT: "pubsub.snapshots.get",
    DELETE_SNAPSHOT: "pubsub.snapshots.delete",
    DELETE_SUBSCRIPTION: "pubsub.subscriptions.delete",
}

Item = TypeVar("Item")
Result = TypeVar("Result")


class UnansweredError(ResourceError):
    """Pub/Sub did not answer, so further calls are not tried."""


@contextmanager
def explained(action: str, path: str, *expected: type[Exception]) -> Iterator[None]:
    """Within the block, convert Google's errors to errors that say what was tried.

    Raises:
        ResourceError: for any error of Google's client that is not ``expected``.
    """
    try:
        yield
    except expected:
        raise
    except (exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
        raise ResourceError(
            f"Pub/Sub refused to {action} {path}: {error.message.rstrip('.')}. The credentials "
            f"need the permission {_PERMISSIONS[action]}, which roles/pubsub.editor has."
        ) from error
    except exceptions.ClientError as error:
        raise ResourceError(f"Pub/Sub refused to {action} {path}: {error}") from error
    except exceptions.GoogleAPIError as error:
        raise UnansweredError(f"Pub/Sub did not {action} {path}: {error}") from error


@contextmanager
def advised(address: str) -> Iterator[None]:
    """Add advice on what to check if Pub/Sub at ``address`` does not answer.

    Raises:
        UnansweredError: the block's own error, with the advice added.
    """
    try:
        yield
    except UnansweredError as error:
        advice = what_to_check(address)
        raise UnansweredError(
            f"{str(error).rstrip('.')}. What to do: {advice}"
        ) from error.__cause__


class Calls:
    """Makes calls in threads, :data:`MAX_CALLS` at a time, and collects refusals.

    The threads are daemons, so a server that does not answer keeps no process from ending.
    """

    def __init__(self) -> None:
        self.refusals: list[ResourceError] = []

    def run(self, call: Callable[[Item], Result], items: Iterable[Item]) -> dict[Item, Result]:
        """Return the results of ``call(item)`` by item, without those of refused calls.

        Raises:
            UnansweredError: a call got no answer; calls that had not begun are cancelled.
        """
        futures: dict[Item, Future[Result]] = {item: Future() for item in items}
        waiting = deque(futures.items())
        for _ in range(min(MAX_CALLS, len(futures))):
            threading.Thread(
                target=_work, args=(call, waiting), name="rele-resources", daemon=True
            ).start()
        try:
            _raise_for_more_than_refusals(futures.values())
        except BaseException:
            for future in futures.values():
                future.cancel()
            raise
        errors = [future.exception() for future in futures.values()]
        self.refusals += [error for error in errors if isinstance(error, ResourceError)]
        return {item: future.result() for item, future in futures.items() if not future.exception()}


def _work(call: Callable[[Item], Result], waiting: deque[tuple[Item, Future[Result]]]) -> None:
    while waiting:
        try:
            item, future = waiting.popleft()
        except IndexError:  # another thread took the last one
            return
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(call(item))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)


def _raise_for_more_than_refusals(futures: Iterable[Future[Result]]) -> None:
    for future in as_completed(futures):
        error = future.exception()
        if isinstance(error, UnansweredError) or not isinstance(error, (ResourceError, NoneType)):
            raise error
