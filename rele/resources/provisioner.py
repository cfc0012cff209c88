"""Providing topics and subscriptions, before a worker consumes and when one was deleted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from rele.declaration.subscription import Subscription
from rele.exceptions import ResourceError
from rele.resources.applying import log
from rele.resources.changes import CANNOT_CHANGE, CREATE_SUBSCRIPTION, CREATE_TOPIC, Change, Plan
from rele.resources.planning import Resources

logger = logging.getLogger(__name__)

PAUSE_WITHOUT_RETRY_POLICY = 10
"""Seconds until a failed message is redelivered, if its subscription has no retry policy."""


class Provisioner(Protocol):
    """Provides the topics and subscriptions that a worker consumes."""

    def set_up(self) -> None:
        """Provide all topics and subscriptions, before the worker starts."""

    def restore(self, subscription: Subscription) -> bool:
        """Provide a subscription whose stream has ended, perhaps because it was deleted.

        Returns:
            whether the subscription exists now, as far as that was checked.
        """

    def failure_pause(self, subscription: Subscription) -> int | None:
        """Seconds until a failed message may be redelivered; ``None`` leaves that to Pub/Sub."""


class _MakesSubscriptions(Protocol):
    def update_or_create_subscription(self, subscription: Subscription) -> None: ...


class CreateFirstProvisioner:
    """Creates without reading first, as Relé 1.x does.

    Args:
        subscriber: creates a subscription, or updates the one that exists.
        subscriptions: the subscriptions that the worker consumes.
    """

    def __init__(
        self, subscriber: _MakesSubscriptions, subscriptions: Sequence[Subscription]
    ) -> None:
        self._subscriber = subscriber
        self._subscriptions = subscriptions

    def set_up(self) -> None:
        """Create all missing subscriptions.

        Raises:
            ResourceError, google.api_core.exceptions.GoogleAPIError: Pub/Sub refused one.
        """
        for subscription in self._subscriptions:
            self._subscriber.update_or_create_subscription(subscription)

    def restore(self, subscription: Subscription) -> bool:
        """Create the subscription if it is missing; raises the errors of :meth:`set_up`."""
        self._subscriber.update_or_create_subscription(subscription)
        return True

    def failure_pause(self, subscription: Subscription) -> int | None:
        """Always ``None``: Pub/Sub decides."""
        return None


class PlanningProvisioner:
    """Compares Pub/Sub with the declarations, and acts as ``RELE["RESOURCES"]`` says.

    Args:
        resources: compares and changes the project's topics and subscriptions.
        mode: ``"apply"`` creates and updates, ``"create"`` only creates, ``"verify"`` raises
            an error if something is not as declared, ``"ignore"`` makes no call at all.
        subscriptions: the subscriptions that the worker consumes.
    """

    def __init__(
        self, resources: Resources, mode: str, subscriptions: Sequence[Subscription]
    ) -> None:
        self._resources = resources
        self._mode = mode
        self._subscriptions = subscriptions
        self._without_retry_policy: set[str] = set()

    def set_up(self) -> None:
        """Provide all subscriptions, before the worker starts.

        Raises:
            ResourceError: Pub/Sub refused something; under ``"verify"``, something is not as
                declared.
        """
        if self._mode == "ignore":
            return
        plan = self._resources.plan(self._subscriptions)
        self._note_retry_policies(plan)
        if self._mode == "verify":
            _log_warnings(plan)
            _refuse_differences(plan)
        elif self._mode == "create":
            self._apply(plan.only(CREATE_TOPIC, CREATE_SUBSCRIPTION, CANNOT_CHANGE))
        else:
            self._apply(plan)

    def restore(self, subscription: Subscription) -> bool:
        """Create a deleted subscription, if the mode allows it.

        Returns:
            whether the subscription exists now, as far as that was checked.

        Raises:
            ResourceError: Pub/Sub refused something; under ``"verify"``, it was deleted.
        """
        if self._mode == "ignore":
            return False
        plan = self._resources.plan([subscription], others=self._subscriptions)
        self._note_retry_policies(plan)
        plan = plan.only(CREATE_TOPIC, CREATE_SUBSCRIPTION)
        path = self._resources.path(subscription)
        is_gone = any(change.path == path for change in plan.changes)
        if self._mode == "verify":
            plan.raise_refusals()
            if is_gone:
                raise ResourceError(
                    f"{path} was deleted, and Relé creates nothing under RELE['RESOURCES'] = "
                    "'verify': whoever owns it must create it again. Until then nothing is "
                    "consumed, and what is published is lost to it."
                )
            return True
        self._apply(plan)
        if is_gone:
            logger.error(
                "The subscription %s had been deleted and was created again: what was published in "
                "between is lost.",
                subscription.name,
            )
        return True

    def failure_pause(self, subscription: Subscription) -> int | None:
        """Seconds until a failed message may be redelivered; ``None`` leaves that to Pub/Sub.

        It is ``None`` if the subscription had a retry policy when it was last read or changed.
        Without a policy Pub/Sub would redeliver at once.
        """
        lacks_policy = self._resources.path(subscription) in self._without_retry_policy
        return PAUSE_WITHOUT_RETRY_POLICY if lacks_policy else None

    def _apply(self, plan: Plan) -> None:
        self._resources.apply(plan, self._report)

    def _report(self, change: Change) -> None:
        if change.sets_retry_policy:
            self._without_retry_policy.discard(change.path)
        log(change)

    def _note_retry_policies(self, plan: Plan) -> None:
        to_be_set = {change.path for change in plan.changes if change.sets_retry_policy}
        for path, is_lacking in plan.lacks_retry_policy.items():
            if not is_lacking:
                self._without_retry_policy.discard(path)
            elif path not in self._without_retry_policy:
                self._without_retry_policy.add(path)
                if path not in to_be_set:
                    _warn_of_missing_policy(path)


def _warn_of_missing_policy(path: str) -> None:
    logger.warning(
        "%s has no retry policy, so Pub/Sub would redeliver a failed message at once. Relé has "
        "it redelivered after %s s. State a policy with @sub(retry_policy=…) or "
        "RELE['DEFAULT_RETRY_POLICY'].",
        path,
        PAUSE_WITHOUT_RETRY_POLICY,
    )


def _log_warnings(plan: Plan) -> None:
    for warning in plan.warnings:
        logger.warning("%s", warning)


def _refuse_differences(plan: Plan) -> None:
    plan.raise_refusals()
    if plan.changes:
        differences = "\n".join(f"  {change}" for change in plan.changes)
        raise ResourceError(
            "Pub/Sub does not have what is declared, and Relé changes nothing under "
            f"RELE['RESOURCES'] = 'verify':\n{differences}\nMake these changes by a "
            "worker with 'apply', or in a Django project by `manage.py showsubscriptions --apply`, "
            "or ask whoever owns the resources."
        )
