"""Calls of Pub/Sub side by side, and what they are refused with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from google.api_core import exceptions

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


class Calls:
    """Calls in threads, :data:`MAX_CALLS` at a time; refusals are collected."""

    def __init__(self) -> None:
        self.refusals: list[ResourceError] = []

    def run(self, call: Callable[[Item], Result], items: Iterable[Item]) -> dict[Item, Result]:
        """``call(item)`` for each item; those that were refused are missing in the result.

        Raises:
            UnansweredError: one got no answer; those that had not begun are given up.
        """
        items = list(items)
        if not items:
            return {}
        with ThreadPoolExecutor(min(MAX_CALLS, len(items)), "rele-resources") as pool:
            futures = {pool.submit(call, item): item for item in items}
            try:
                refused = self._refused(futures)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self.refusals += [error for future in futures if (error := refused.get(future))]
        return {item: future.result() for future, item in futures.items() if future not in refused}

    def _refused(self, futures: Iterable[Future[Result]]) -> dict[Future[Result], ResourceError]:
        refused: dict[Future[Result], ResourceError] = {}
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                continue
            if isinstance(error, UnansweredError) or not isinstance(error, ResourceError):
                raise error
            refused[future] = error
        return refused
