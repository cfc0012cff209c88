"""What a worker does about topics and subscriptions, as ``RELE["RESOURCES"]`` says."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rele.declaration.subscription import Subscription
from rele.exceptions import ResourceError
from rele.resources.changes import CANNOT_CHANGE, CREATE_SUBSCRIPTION, CREATE_TOPIC, Plan
from rele.resources.resources import Resources

logger = logging.getLogger(__name__)


class Provisioner:
    """Sees to the resources of a worker's subscriptions.

    Args:
        resources: of the project.
        mode: ``"apply"`` creates and updates, ``"create"`` only creates, ``"verify"`` refuses
            what is not as declared, ``"ignore"`` makes no call at all.
        subscriptions: all that the worker consumes.
    """

    def __init__(
        self, resources: Resources, mode: str, subscriptions: Sequence[Subscription]
    ) -> None:
        self._resources = resources
        self._mode = mode
        self._subscriptions = subscriptions

    def set_up(self) -> None:
        """See to all subscriptions, before the worker starts.

        Raises:
            ResourceError: Pub/Sub refused something; under ``"verify"``, something is not as
                declared.
        """
        if self._mode == "ignore":
            return
        plan = self._resources.plan(self._subscriptions)
        if self._mode == "verify":
            _refuse_differences(plan)
        elif self._mode == "create":
            self._resources.apply(plan.only(CREATE_TOPIC, CREATE_SUBSCRIPTION, CANNOT_CHANGE))
        else:
            self._resources.apply(plan)

    def restore(self, subscription: Subscription) -> bool:
        """See to one whose stream has died, perhaps since it was deleted.

        Returns:
            whether it is there now, as far as anybody has looked.

        Raises:
            ResourceError: Pub/Sub refused something; under ``"verify"``, it is gone.
        """
        if self._mode == "ignore":
            return False
        plan = self._resources.plan([subscription], beside=self._subscriptions)
        plan = plan.only(CREATE_TOPIC, CREATE_SUBSCRIPTION)
        is_gone = any(change.path == self._resources.path(subscription) for change in plan.changes)
        if self._mode == "verify":
            plan.raise_refusals()
            if is_gone:
                raise ResourceError(
                    f"{self._resources.path(subscription)} was deleted, and Relé makes nothing "
                    "under RELE['RESOURCES'] = 'verify': whoever owns it must make it again. Until "
                    "then nothing is consumed; what is published meanwhile is lost to it."
                )
            return True
        self._resources.apply(plan)
        if is_gone:
            logger.error(
                "The subscription %s had been deleted and is made again: what was published in "
                "between is gone.",
                subscription.name,
            )
        return True


def _refuse_differences(plan: Plan) -> None:
    plan.raise_refusals()
    if plan.changes:
        differences = "\n".join(f"  {change}" for change in plan.changes)
        raise ResourceError(
            "Pub/Sub is not as declared, and Relé changes nothing under RELE['RESOURCES'] = "
            f"'verify':\n{differences}\nApply it with `manage.py showsubscriptions --apply`, or "
            "let whoever owns the resources do so."
        )
