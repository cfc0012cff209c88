"""Calls of Pub/Sub side by side, and what they are refused with."""

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
"""At a time: to read 100 subscriptions takes four times the latency, and no server is flooded."""

READ_SUBSCRIPTION = "read subscription"
READ_TOPIC = "read topic"
LIST_SUBSCRIPTIONS_OF = "list the subscriptions of"

_PERMISSIONS = {
    READ_SUBSCRIPTION: "pubsub.subscriptions.get",
    READ_TOPIC: "pubsub.topics.get",
    LIST_SUBSCRIPTIONS_OF: "pubsub.subscriptions.list",
    CREATE_TOPIC: "pubsub.topics.create",
    CREATE_SUBSCRIPTION: "pubsub.subscriptions.create and pubsub.topics.attachSubscription",
    UPDATE_SUBSCRIPTION: "pubsub.subscriptions.update",
}

Item = TypeVar("Item")
Result = TypeVar("Result")


class UnansweredError(ResourceError):
    """Pub/Sub did not answer, so that the next call need not be tried."""


@contextmanager
def explained(action: str, path: str, *expected: type[Exception]) -> Iterator[None]:
    """Let what is ``expected`` through, and say of any other refusal what was tried.

    Raises:
        ResourceError: for what else Google's client raises.
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
    """Say, where Pub/Sub at ``address`` does not answer, what to look at.

    Raises:
        UnansweredError: which the block has raised.
    """
    try:
        yield
    except UnansweredError as error:
        advice = what_to_check(address)
        raise UnansweredError(
            f"{str(error).rstrip('.')}. What can be done: {advice}"
        ) from error.__cause__


class Calls:
    """Calls in threads, :data:`MAX_CALLS` at a time; refusals are collected.

    The threads are daemons: a server that does not answer holds up no process that ends.
    """

    def __init__(self) -> None:
        self.refusals: list[ResourceError] = []

    def run(self, call: Callable[[Item], Result], items: Iterable[Item]) -> dict[Item, Result]:
        """``call(item)`` for each item; those that were refused are missing in the result.

        Raises:
            UnansweredError: one got no answer; those that had not begun are given up.
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
        except IndexError:  # another thread was faster
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
