"""Desired against actual topics and subscriptions: read, plan, then apply."""

from __future__ import annotations

import logging
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
from rele.resources.service import Service
from rele.resources.survey import survey

logger = logging.getLogger(__name__)

PAUSE_WITHOUT_RETRY_POLICY = 10
"""Seconds for which a failed message is held back where the subscription has no policy."""

_NOTHING = SubscriptionOptions()


class Resources:
    """The topics and subscriptions of one project, as the declarations want them.

    Args:
        connection: names the project, and makes the client for topics where topics matter.
        subscriber: Google's subscriber client.
        defaults: what is stated for all subscriptions; a declaration goes before.
        for_new: what a subscription that is made gets where nothing is stated.
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
        self._without_retry_policy: set[str] = set()

    def failure_pause(self, subscription: Subscription) -> int | None:
        """Seconds to hold a failed message back, because the subscription has no retry policy.

        ``None`` where it had one when it was last read or changed: the policy makes the pause.
        """
        lacks_policy = self.path(subscription) in self._without_retry_policy
        return PAUSE_WITHOUT_RETRY_POLICY if lacks_policy else None

    def path(self, subscription: Subscription) -> str:
        """The full path of a subscription."""
        return f"{self._project}/subscriptions/{subscription.name}"

    def plan(
        self, subscriptions: Iterable[Subscription], *, beside: Iterable[Subscription] = ()
    ) -> Plan:
        """What has to be done for ``subscriptions`` to exist as declared; changes nothing.

        Of one that exists only what is stated is looked at. A dead-letter policy wants its topic,
        and a subscription on it unless one is there, or among ``subscriptions`` and ``beside``.

        Args:
            subscriptions: the declarations to plan for.
            beside: others of the project, which are planned for elsewhere.

        Raises:
            ResourceError: Pub/Sub does not answer. What it refuses is told by the plan.
        """
        found = survey(
            self._service,
            map(self._desired, subscriptions),
            set(map(self._topic_path, beside)),
        )
        for each, actual in found.subscriptions.items():
            self._note_retry_policy(each, actual)
        changes = [
            *map(self._creation_of_topic, found.missing_topics),
            *map(self._creation, found.missing),
            *(change for pair in found.existing for change in self._update(*pair)),
            *(change for pair in found.existing for change in _obstacle(*pair)),
        ]
        return Plan(tuple(changes), found.refusals)

    def apply(self, plan: Plan, tell: Callable[[Change], object] = log) -> None:
        """Carry out a plan: see :func:`rele.resources.applying.apply`.

        Raises:
            ResourceError: Pub/Sub refused some of it.
        """

        def note_and_tell(change: Change) -> None:
            if any(difference.option == "retry_policy" for difference in change.differences):
                self._without_retry_policy.discard(change.path)
            tell(change)

        apply(plan, note_and_tell)

    def orphans(self, prefix: str, subscriptions: Iterable[Subscription]) -> list[str]:
        """The paths of subscriptions whose names begin with ``prefix-`` and that nobody declares.

        Those that keep dead letters are not among them.

        Raises:
            ResourceError: they cannot be listed.
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

    def _creation_of_topic(self, path: str) -> Change:
        return Change(CREATE_TOPIC, path, carry_out=partial(self._service.create_topic, path))

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

    def _note_retry_policy(self, desired: Desired, actual: Any) -> None:
        if actual is None or "retry_policy" in actual or desired.is_for_dead_letters:
            self._without_retry_policy.discard(desired.path)
            return
        is_known = desired.path in self._without_retry_policy
        self._without_retry_policy.add(desired.path)
        if is_known or "retry_policy" in desired.stated:
            return
        logger.warning(
            "%s has no retry policy, so Pub/Sub would deliver a failed message again at once: "
            "failed messages are held back for %s s. State one with @sub(retry_policy=…) or "
            "RELE['DEFAULT_RETRY_POLICY'].",
            desired.path,
            PAUSE_WITHOUT_RETRY_POLICY,
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
    """The topic and the subscription on it, without which Pub/Sub would lose messages."""
    if desired.dead_letter_topic is None:
        return frozenset()
    subscription = dead_letter_subscription(desired.dead_letter_topic).path
    return frozenset({desired.dead_letter_topic, subscription})
