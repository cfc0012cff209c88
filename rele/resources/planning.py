"""Comparing declared topics and subscriptions with Pub/Sub, and planning the changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from rele.dead_letter_policy import SUFFIX
from rele.declaration.options import SubscriptionOptions
from rele.declaration.subscription import Subscription
from rele.engine.connection import Connection
from rele.resources import advice
from rele.resources.applying import apply, log
from rele.resources.changes import (
    CANNOT_CHANGE,
    CREATE_SUBSCRIPTION,
    CREATE_TOPIC,
    UPDATE_SUBSCRIPTION,
    Change,
    Plan,
)
from rele.resources.comparing import fixed_differences, updatable_differences, update_request
from rele.resources.desired import Desired, dead_letter_subscription, google_fields
from rele.resources.pubsub_calls import Service
from rele.resources.survey import survey

_NOTHING = SubscriptionOptions()


class Resources:
    """Compares the topics and subscriptions of one project with what is declared.

    Args:
        connection: has the project, and makes the client for topics when it is needed.
        subscriber: Google's subscriber client.
        defaults: options for all subscriptions; an option of a declaration takes precedence.
        for_new: options of new subscriptions, unless something else is stated.
    """

    def __init__(
        self,
        connection: Connection,
        subscriber: Any,
        *,
        defaults: SubscriptionOptions = _NOTHING,
        for_new: SubscriptionOptions = _NOTHING,
    ) -> None:
        self._project_id = str(connection.gc_project_id)
        self._project = f"projects/{self._project_id}"
        self._service = Service(subscriber, connection)
        self._defaults = defaults
        self._for_new = for_new

    def path(self, subscription: Subscription) -> str:
        """The full path of a subscription."""
        return f"{self._project}/subscriptions/{subscription.name}"

    def plan(
        self, subscriptions: Iterable[Subscription], *, others: Iterable[Subscription] = ()
    ) -> Plan:
        """Plan the changes after which ``subscriptions`` exist as declared. Changes nothing itself.

        Of an existing subscription, only the stated options are compared. A dead-letter policy
        needs its topic and a subscription on this topic: one that exists, one of ``subscriptions``
        and ``others``, or a new one.

        Args:
            subscriptions: the declarations to plan for.
            others: further declarations of the project.

        Raises:
            ResourceError: Pub/Sub does not answer. Refusals are in the plan.
        """
        found = survey(
            self._service,
            map(self._desired, subscriptions),
            set(map(self._topic_path, others)),
        )
        changes = [
            *(self._creation_of_topic(path, found.missing) for path in found.missing_topics),
            *map(self._creation, found.missing),
            *(change for pair in found.existing for change in self._update(*pair)),
            *(change for pair in found.existing for change in _obstacle(*pair)),
        ]
        return Plan(
            tuple(changes),
            found.refusals,
            tuple(map(advice.on_unreadable_topic, found.unreadable_topics)),
            {
                each.path: actual is not None and "retry_policy" not in actual
                for each, actual in found.subscriptions.items()
                if not each.is_for_dead_letters
            },
        )

    def apply(self, plan: Plan, report: Callable[[Change], object] = log) -> None:
        """Carry out a plan: see :func:`rele.resources.applying.apply`.

        Raises:
            ResourceError: Pub/Sub refused some of the changes.
        """
        apply(plan, report)

    def orphans(self, prefix: str, subscriptions: Iterable[Subscription]) -> list[str]:
        """The paths of subscriptions whose names begin with ``prefix-`` and that no code declares.

        Subscriptions that keep dead letters are left out.

        Raises:
            ResourceError: the subscriptions cannot be listed.
        """
        desired = [self._desired(subscription) for subscription in subscriptions]
        known = {each.path for each in desired}.union(*map(_needed_for_dead_letters, desired))
        return sorted(
            path
            for path in self._service.subscriptions(self._project)
            if path.startswith(f"{self._project}/subscriptions/{prefix}-")
            and not path.endswith(SUFFIX)
            and path not in known
        )

    def _desired(self, subscription: Subscription) -> Desired:
        stated = subscription.options.over(self._defaults).stated()
        return Desired(
            self.path(subscription),
            self._topic_path(subscription),
            google_fields(stated, self._project_id, subscription.name),
            google_fields(self._for_new.stated()),
        )

    def _topic_path(self, subscription: Subscription) -> str:
        return f"{self._project}/topics/{subscription.topic}"

    def _creation_of_topic(self, path: str, missing: Iterable[Desired]) -> Change:
        """A topic is made right before its subscriptions: it keeps no message before it has one."""
        new = [desired for desired in missing if desired.topic == path]
        return Change(
            CREATE_TOPIC,
            path,
            after=frozenset().union(*map(_needed_for_dead_letters, new)) - {path},
            carry_out=partial(self._service.create_topic, path),
        )

    def _creation(self, desired: Desired) -> Change:
        return Change(
            CREATE_SUBSCRIPTION,
            desired.path,
            advice=advice.on_dead_letters(desired),
            needs=frozenset({desired.topic}) | _needed_for_dead_letters(desired),
            carry_out=partial(self._service.create_subscription, desired),
        )

    def _update(self, desired: Desired, actual: Any) -> Iterator[Change]:
        differences = updatable_differences(desired, actual)
        if not differences:
            return
        sets_dead_letters = any(each.option == "dead_letter_policy" for each in differences)
        yield Change(
            UPDATE_SUBSCRIPTION,
            desired.path,
            differences,
            advice=advice.on_dead_letters(desired) if sets_dead_letters else "",
            needs=_needed_for_dead_letters(desired),
            carry_out=partial(
                self._service.update_subscription, update_request(desired, actual, differences)
            ),
        )


def _obstacle(desired: Desired, actual: Any) -> Iterator[Change]:
    if differences := fixed_differences(desired, actual):
        yield Change(
            CANNOT_CHANGE,
            desired.path,
            differences,
            advice=advice.on_obstacle(desired, actual.topic),
        )


def _needed_for_dead_letters(desired: Desired) -> frozenset[str]:
    """The dead-letter topic and its subscription, without which Pub/Sub would lose messages."""
    if desired.dead_letter_topic is None:
        return frozenset()
    subscription = dead_letter_subscription(desired.dead_letter_topic).path
    return frozenset({desired.dead_letter_topic, subscription})
