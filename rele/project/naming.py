"""The subscriptions that a person names."""

from __future__ import annotations

from typing import Any, Protocol

from rele.exceptions import ResourceError


class SubscriptionReader(Protocol):
    """Reads subscriptions: :class:`rele.resources.pubsub_calls.Service` is one."""

    def subscription(self, path: str) -> Any:
        """Google's Subscription, or ``None`` if it does not exist."""


def subscription_path(name: str, project: str) -> str:
    """The full path of a subscription that is named by it or by its id."""
    return name if "/" in name else f"projects/{project}/subscriptions/{name}"


def existing_subscription(reader: SubscriptionReader, path: str) -> Any:
    """Google's Subscription at the full path ``path``.

    Raises:
        ResourceError: there is none, or the path is none.
    """
    parts = path.split("/")
    if len(parts) != 4 or (parts[0], parts[2]) != ("projects", "subscriptions"):
        raise ResourceError(
            f"{path!r} is not the path of a subscription, projects/PROJECT/subscriptions/NAME."
        )
    subscription = reader.subscription(path)
    if subscription is None:
        raise ResourceError(
            f"There is no subscription {parts[3]!r} in the project {parts[1]}: "
            "`manage.py showsubscriptions` shows what the subscriptions are called."
        )
    return subscription
