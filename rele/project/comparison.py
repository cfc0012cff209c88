"""Comparing what is declared with what Pub/Sub has, and changing it, without a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from rele.client import Subscriber
from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.endpoint import pubsub_address
from rele.engine.google.clients import no_project
from rele.exceptions import ResourceError
from rele.resources import Change, Plan, Resources, advised
from rele.worker import require_connection


@dataclass(frozen=True)
class Comparison:
    """What was found out."""

    plan: Plan
    orphans: Sequence[str] = ()
    """The paths of subscriptions under SUB_PREFIX that no code declares."""
    complaint: str = ""
    """Why the orphans are unknown, if they are."""


def compare(config: Config, subscriptions: Sequence[Subscription]) -> Comparison:
    """Compare what is declared with what Pub/Sub has; change nothing.

    Raises:
        NoProjectError, UnusableCredentialsError: no project is known.
        NoCredentialsError: there are none.
        NotConnectionError: Pub/Sub cannot be reached.
        ResourceError: it does not answer. What it refuses is in the plan.
    """
    with _resources(config) as resources:
        plan = resources.plan(subscriptions)
        if not config.sub_prefix:
            return Comparison(plan)
        try:
            return Comparison(plan, resources.orphans(config.sub_prefix, subscriptions))
        except ResourceError as error:
            return Comparison(plan, complaint=str(error))


def bring_about(
    config: Config, subscriptions: Sequence[Subscription], report: Callable[[Change], object]
) -> Plan:
    """Change Pub/Sub to what is declared, whatever ``RELE["RESOURCES"]`` says.

    Args:
        config: the project's configuration.
        subscriptions: what is declared.
        report: called with each change that was made, and with each obstacle.

    Returns:
        the plan that was carried out, but for its obstacles.

    Raises:
        ResourceError: Pub/Sub refused some of it; and what :func:`compare` raises.
    """
    with _resources(config) as resources:
        plan = resources.plan(subscriptions)
        resources.apply(plan, report)
        return plan


@contextmanager
def _resources(config: Config) -> Iterator[Resources]:
    if config.gc_project_id is None:
        raise no_project()
    address = pubsub_address(config.client_options)
    require_connection(address)
    subscriber = Subscriber.over(config.connection)
    with closing(subscriber), advised(address):
        yield subscriber.resources(config.gc_project_id, config.subscription_defaults)
