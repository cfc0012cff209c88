"""Desired against actual topics and subscriptions: read, plan, then apply."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from rele.exceptions import ResourceError
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription

logger = logging.getLogger(__name__)

DEFAULT_RETRY_POLICY = RetryPolicy(10, 600)
"""Of subscriptions that are made here and state none: Google's own defaults.

Without a policy Pub/Sub would deliver a failed message again at once, without end.
"""

PAUSE_WITHOUT_RETRY_POLICY = 10
"""Seconds for which a failed message is held back where the subscription has no policy."""


def to_google_retry_policy(policy: RetryPolicy) -> Any:
    """The same policy as Google's message of that name."""
    return pubsub_v1.types.RetryPolicy(
        minimum_backoff=_to_duration(policy.minimum_backoff),
        maximum_backoff=_to_duration(policy.maximum_backoff),
    )


def _to_duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1_000_000_000))
    return duration


def subscription_request(
    name: str,
    topic: str,
    ack_deadline: int,
    retry_policy: RetryPolicy | None,
    backend_filter: str | None,
) -> dict[str, Any]:
    """The request that creates a subscription; ``name`` and ``topic`` are full paths."""
    request: dict[str, Any] = {
        "name": name,
        "topic": topic,
        "ack_deadline_seconds": ack_deadline,
    }
    if retry_policy is not None:
        request["retry_policy"] = to_google_retry_policy(retry_policy)
    if backend_filter:
        request["filter"] = backend_filter
    return request


def create_topic(client: Any, path: str, regions: Sequence[str] | str | None) -> None:
    """Create a topic; ``regions``, where given, are the only ones to keep its messages in."""
    request: dict[str, Any] = {"name": path}
    if regions:
        allowed = [regions] if isinstance(regions, str) else list(regions)
        request["message_storage_policy"] = {"allowed_persistence_regions": allowed}
    client.create_topic(request=request)


@dataclass(frozen=True)
class Change:
    """One step from the actual resources to the desired ones."""

    action: str
    """``"create topic"``, ``"create subscription"`` or ``"update subscription"``."""
    path: str
    apply: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.action} {self.path}"


_PERMISSIONS = {
    "read subscription": "pubsub.subscriptions.get",
    "create topic": "pubsub.topics.create",
    "create subscription": "pubsub.subscriptions.create and pubsub.topics.attachSubscription",
    "update subscription": "pubsub.subscriptions.update",
}


@contextmanager
def _explained(action: str, path: str) -> Iterator[None]:
    """Let what is expected through, and say of any other refusal what was tried and what to do."""
    try:
        yield
    except (exceptions.NotFound, exceptions.AlreadyExists):
        raise
    except (exceptions.PermissionDenied, exceptions.Unauthenticated) as error:
        raise ResourceError(
            f"Pub/Sub refused to {action} {path}: {error.message}. The credentials need the "
            f"permission {_PERMISSIONS[action]}, which roles/pubsub.editor has."
        ) from error
    except exceptions.GoogleAPIError as error:
        raise ResourceError(f"Pub/Sub refused to {action} {path}: {error}") from error


class Resources:
    """The topics and subscriptions of one project, as the declarations want them.

    Args:
        project_id: the Google Cloud project.
        subscriber: Google's subscriber client.
        make_topic_client: gives Google's publisher client, asked only where a topic is missing.
        regions: where the messages of topics that are made here are kept.
        ack_deadline: seconds.
        retry_policy: of subscriptions that state none.
    """

    def __init__(
        self,
        project_id: str,
        subscriber: Any,
        make_topic_client: Callable[[], Any],
        regions: Sequence[str] | str | None,
        ack_deadline: int,
        retry_policy: RetryPolicy | None,
    ) -> None:
        self._project_id = project_id
        self._subscriber = subscriber
        self._make_topic_client = make_topic_client
        self._regions = regions
        self._ack_deadline = ack_deadline
        self._retry_policy = retry_policy
        self._without_retry_policy: set[str] = set()

    def failure_pause(self, subscription: Subscription) -> int | None:
        """Seconds to hold a failed message back, because the subscription has no retry policy.

        ``None`` where it had one when it was last read: the policy makes the pause.
        """
        lacks_policy = self._path(subscription) in self._without_retry_policy
        return PAUSE_WITHOUT_RETRY_POLICY if lacks_policy else None

    def plan(self, subscriptions: Iterable[Subscription]) -> list[Change]:
        """What has to be done for ``subscriptions`` to exist as declared; changes nothing.

        Of one that exists only a retry policy that the code or ``RELE`` states is changed.

        Raises:
            ResourceError: the actual state cannot be read.
        """
        missing: list[Subscription] = []
        updates: list[Change] = []
        for subscription in subscriptions:
            actual = self._read(subscription)
            if actual is None:
                missing.append(subscription)
            else:
                updates += self._plan_update(subscription, actual)
        topics = dict.fromkeys(map(self._topic_path, missing))
        return [
            *(self._creation_of_topic(topic) for topic in topics if not self._topic_exists(topic)),
            *map(self._creation_of_subscription, missing),
            *updates,
        ]

    def apply(self, changes: Iterable[Change]) -> None:
        """Carry out ``changes`` in their order.

        What another worker has created in the meantime is fine.

        Raises:
            ResourceError: Pub/Sub refused one of them.
        """
        for change in changes:
            try:
                with _explained(change.action, change.path):
                    change.apply()
            except exceptions.AlreadyExists:
                logger.debug("Somebody else was faster to %s.", change)
            else:
                logger.info("Relé has done: %s", change)

    @cached_property
    def _topics(self) -> Any:
        """Google's publisher client: made where a subscription is missing, and then kept."""
        return self._make_topic_client()

    def _read(self, subscription: Subscription) -> Any:
        path = self._path(subscription)
        try:
            with _explained("read subscription", path):
                return self._subscriber.get_subscription(request={"subscription": path})
        except exceptions.NotFound:
            return None

    def _topic_exists(self, path: str) -> bool:
        try:
            self._topics.get_topic(request={"topic": path})
        except exceptions.NotFound:
            return False
        except exceptions.PermissionDenied:
            return True  # who may not look at topics need not be allowed to make any
        return True

    def _creation_of_topic(self, path: str) -> Change:
        return Change("create topic", path, lambda: create_topic(self._topics, path, self._regions))

    def _creation_of_subscription(self, subscription: Subscription) -> Change:
        request = subscription_request(
            self._path(subscription),
            self._topic_path(subscription),
            self._ack_deadline,
            self._stated_retry_policy(subscription) or DEFAULT_RETRY_POLICY,
            subscription.backend_filter_by,
        )
        return Change(
            "create subscription",
            request["name"],
            lambda: self._subscriber.create_subscription(request=request),
        )

    def _plan_update(self, subscription: Subscription, actual: Any) -> list[Change]:
        stated = self._stated_retry_policy(subscription)
        if stated is None:
            self._note_missing_retry_policy(actual)
            return []
        if to_google_retry_policy(stated) == actual.retry_policy:
            return []
        desired = pubsub_v1.types.Subscription(
            name=actual.name, topic=actual.topic, retry_policy=to_google_retry_policy(stated)
        )
        request = {"subscription": desired, "update_mask": FieldMask(paths=["retry_policy"])}
        return [
            Change(
                "update subscription",
                actual.name,
                lambda: self._subscriber.update_subscription(request=request),
            )
        ]

    def _note_missing_retry_policy(self, actual: Any) -> None:
        if "retry_policy" in actual or actual.name in self._without_retry_policy:
            return
        self._without_retry_policy.add(actual.name)
        logger.warning(
            "%s has no retry policy, so Pub/Sub would deliver a failed message again at once: "
            "failed messages are held back for %s s. State one with @sub(retry_policy=…) or "
            "RELE['DEFAULT_RETRY_POLICY'].",
            actual.name,
            PAUSE_WITHOUT_RETRY_POLICY,
        )

    def _stated_retry_policy(self, subscription: Subscription) -> RetryPolicy | None:
        return subscription.retry_policy or self._retry_policy

    def _path(self, subscription: Subscription) -> str:
        path: str = self._subscriber.subscription_path(self._project_id, subscription.name)
        return path

    def _topic_path(self, subscription: Subscription) -> str:
        return f"projects/{self._project_id}/topics/{subscription.topic}"
