"""The topics and subscriptions that a person names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

from rele.exceptions import ResourceError
from rele.messages.limits import RESOURCE_NAME_RULE, is_resource_name
from rele.schema.problems import did_you_mean


class SubscriptionReader(Protocol):
    """Reads subscriptions: :class:`rele.resources.pubsub_calls.Service` is one."""

    def subscription(self, path: str) -> Any:
        """Google's Subscription, or ``None`` if it does not exist."""

    def configurations(self, project: str) -> Iterable[Any]:
        """Google's Subscription of each subscription of ``project``, which is ``projects/ID``."""


class TopicReader(SubscriptionReader, Protocol):
    """Reads topics, too."""

    def has_topic(self, path: str) -> bool: ...


def subscription_path(name: str, project: str) -> str:
    """The full path of a subscription that is named by it or by its id."""
    return name if "/" in name else f"projects/{project}/subscriptions/{name}"


def existing_subscription(reader: SubscriptionReader, path: str) -> Any:
    """Google's Subscription at the full path ``path``.

    Raises:
        ResourceError: there is none, or the path is none.
    """
    check_path(path, "subscription")
    subscription = reader.subscription(path)
    if subscription is None:
        raise _missing(path, (each.name for each in _all(reader, path)), "subscription")
    return subscription


def existing_topic(reader: TopicReader, name: str, project: str) -> str:
    """The full path of an existing topic that is named by it or by its id.

    Raises:
        ResourceError: there is none, or the path is none.
    """
    path = name if "/" in name else f"projects/{project}/topics/{name}"
    check_path(path, "topic")
    if not reader.has_topic(path):
        raise _missing(path, (each.topic for each in _all(reader, path)), "topic")
    return path


def check_path(path: str, kind: str) -> None:
    """Refuse what Pub/Sub would not take for the path of a topic, a subscription or a snapshot.

    Args:
        path: what was given.
        kind: what it is to be the path of, such as ``topic``.

    Raises:
        ResourceError: it is none.
    """
    parts = path.split("/")
    is_path = len(parts) == 4 and (parts[0], parts[2]) == ("projects", f"{kind}s")
    if not is_path or not re.fullmatch(r"[!-~]+", parts[1]):
        raise ResourceError(f"{path!r} is not the path of a {kind}, projects/PROJECT/{kind}s/NAME.")
    if not is_resource_name(parts[3]):
        raise ResourceError(
            f"Pub/Sub accepts no {kind} named {parts[3][:300]!r}. A name has {RESOURCE_NAME_RULE}."
        )


def _all(reader: SubscriptionReader, path: str) -> Iterable[Any]:
    return reader.configurations("/".join(path.split("/")[:2]))


def _missing(path: str, known: Iterable[str], kind: str) -> ResourceError:
    _, project, _, name = path.split("/")
    names: set[str] = set()
    with suppress(ResourceError):  # the credentials need not be able to list them
        names = {parts[3] for each in known if len(parts := each.split("/")) == 4}
    advice = (
        did_you_mean(name, names) if names else "Run the worker that declares it, or create it."
    )
    return ResourceError(f"There is no {kind} {name!r} in the project {project}. {advice}")
