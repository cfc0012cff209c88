"""Reading the declared topics and subscriptions from Pub/Sub."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rele.exceptions import ResourceError
from rele.resources.desired import Desired, dead_letter_subscription
from rele.resources.parallel_calls import Calls
from rele.resources.pubsub_calls import Service


@dataclass(frozen=True)
class Survey:
    """The existing, missing and unreadable topics and subscriptions."""

    subscriptions: Mapping[Desired, Any]
    """Google's Subscription for each declared one, or ``None`` if it is missing."""
    missing_topics: tuple[str, ...]
    refusals: tuple[ResourceError, ...]
    unreadable_topics: tuple[str, ...] = ()
    """Dead-letter topics that the credentials may not read."""

    @property
    def existing(self) -> Iterator[tuple[Desired, Any]]:
        """The subscriptions that exist."""
        return ((each, actual) for each, actual in self.subscriptions.items() if actual is not None)

    @property
    def missing(self) -> Iterator[Desired]:
        """The subscriptions that do not exist."""
        return (each for each, actual in self.subscriptions.items() if actual is None)


def survey(
    service: Service, desired: Iterable[Desired], other_topics: Collection[str] = ()
) -> Survey:
    """Read subscriptions, then the topics that may be missing.

    Args:
        service: makes the calls.
        desired: the declared subscriptions. For a dead-letter topic without any subscription, one
            is added.
        other_topics: the topics of other declared subscriptions.

    Raises:
        ResourceError: Pub/Sub does not answer. Refusals are collected.
    """
    calls = Calls()

    def read(subscriptions: Iterable[Desired]) -> dict[Desired, Any]:
        return calls.run(lambda each: service.subscription(each.path), subscriptions)

    found = read(desired)
    consumed = {*other_topics, *_consumed_topics(found)}
    dead_letter_topics = dict.fromkeys(topic for each in found if (topic := each.dead_letter_topic))
    is_consumed = calls.run(
        service.has_subscription_on, (each for each in dead_letter_topics if each not in consumed)
    )
    found |= read(
        dead_letter_subscription(topic) for topic, is_ in is_consumed.items() if is_ is False
    )
    uncertain = [each.topic for each, actual in found.items() if actual is None]
    unreadable = tuple(topic for topic, is_ in is_consumed.items() if is_ is None)
    uncertain += [
        topic
        for topic in dead_letter_topics
        if not is_consumed.get(topic) and topic not in unreadable
    ]
    exists = calls.run(service.has_topic, dict.fromkeys(uncertain))
    missing_topics = tuple(topic for topic, is_there in exists.items() if not is_there)
    return Survey(found, missing_topics, tuple(calls.refusals), unreadable)


def _consumed_topics(found: Mapping[Desired, Any]) -> Iterator[str]:
    """The topics with a subscription that exists or is going to be created."""
    for desired, actual in found.items():
        if actual is None or actual.topic == desired.topic:
            yield desired.topic
