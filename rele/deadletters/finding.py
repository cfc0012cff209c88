"""Where the dead letters of a subscription are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rele.exceptions import ReleError
from rele.project.naming import SubscriptionReader, existing_subscription


class DeadLettersError(ReleError):
    """The dead letters of a subscription cannot be found, or not be handled as asked."""


class Reader(SubscriptionReader, Protocol):
    """Reads topics, too: :class:`rele.resources.pubsub_calls.Service` is one."""

    def subscriptions_on(self, topic: str) -> Sequence[str] | None: ...
    def configurations(self, project: str) -> Any: ...


@dataclass(frozen=True)
class Place:
    """Where dead letters wait, and whose they are."""

    topic: str
    """The full path of the dead-letter topic."""
    subscription: str | None
    """The full path of the subscription that they are pulled from; ``None`` if there is none."""
    source: str | None
    """The full path of the subscription whose dead letters are meant; ``None``: of any."""
    counts_attempts: bool = False
    """Whether that subscription has a dead-letter policy of its own, so that nacks count."""


def find_place(reader: Reader, path: str, pulled_from: str | None = None) -> Place:
    """Find where the dead letters are of the subscription at ``path``.

    It may itself be the subscription of a dead-letter topic: then all letters in it are meant.

    Args:
        reader: reads from Pub/Sub.
        path: a full path.
        pulled_from: the full path of the subscription to pull from, where a dead-letter topic has
            several.

    Raises:
        DeadLettersError: it has no dead letters, or it is unclear where they are.
        ResourceError: Pub/Sub refuses or does not answer.
    """
    subscription = existing_subscription(reader, path)
    topic = subscription.dead_letter_policy.dead_letter_topic
    if not topic:
        return _place_itself(reader, subscription)
    found = reader.subscriptions_on(topic)
    if found is None:
        raise DeadLettersError(
            f"The dead-letter topic {topic} of {path} does not exist, so Pub/Sub moves no message "
            "to it. A worker creates it when it starts, unless RELE['RESOURCES'] forbids it."
        )
    chosen = _chosen(list(found), topic, pulled_from)
    return Place(topic, None, path) if chosen is None else _place(reader, topic, chosen, path)


def _place_itself(reader: Reader, subscription: Any) -> Place:
    project = "/".join(subscription.name.split("/")[:2])
    is_for_dead_letters = any(
        each.dead_letter_policy.dead_letter_topic == subscription.topic
        for each in reader.configurations(project)
    )
    if not is_for_dead_letters:
        raise DeadLettersError(
            f"The subscription {subscription.name} has no dead-letter policy. State one with "
            "@sub(dead_letter_policy=DeadLetterPolicy()), and run the worker."
        )
    return _place(reader, subscription.topic, subscription.name, None)


def _place(reader: Reader, topic: str, path: str, source: str | None) -> Place:
    subscription = existing_subscription(reader, path)
    kinds = ("push_config.push_endpoint", "bigquery_config.table", "cloud_storage_config.bucket")
    for kind in kinds:
        config, name = kind.split(".")
        if getattr(getattr(subscription, config), name):
            raise DeadLettersError(
                f"{path} cannot be pulled from: Pub/Sub delivers what it has by itself "
                f"({config}). Create another subscription on {topic}, and name it with --from."
            )
    own_policy = bool(subscription.dead_letter_policy.dead_letter_topic)
    return Place(topic, path, source, counts_attempts=own_policy)


def _chosen(found: list[str], topic: str, named: str | None) -> str | None:
    """The subscription of the dead-letter topic to pull from; ``None`` if there is none."""
    if named is not None:
        if named not in found:
            raise DeadLettersError(
                f"{named} is no subscription of the dead-letter topic {topic}. "
                + (f"It has {_listed(found)}." if found else "It has none.")
            )
        return named
    usual = topic.replace("/topics/", "/subscriptions/")  # what Relé creates
    if usual in found or len(found) == 1:
        return usual if usual in found else found[0]
    if found:
        raise DeadLettersError(
            f"The dead-letter topic {topic} has several subscriptions, each with all letters: "
            f"{_listed(found)}. Name one with --from."
        )
    return None


def _listed(paths: list[str]) -> str:
    return ", ".join(sorted(path.rpartition("/")[2] for path in paths))
