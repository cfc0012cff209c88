"""The consumers of a worker, on the engine that its plan names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from rele.client import Subscriber
from rele.consuming.worker_plan import ConsumerPlan, WorkerPlan
from rele.engine.base import Consumer
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.google.streams import RestartingStream
from rele.engine.times import Times
from rele.subscription import Callback


class Consumers(Protocol):
    """Makes the consumers of one worker."""

    def make(self, plan: ConsumerPlan, callback: Callback, restore: Callable[[], bool]) -> Consumer:
        """A consumer that is not open yet.

        Args:
            plan: how its subscription is consumed.
            callback: called with each message.
            restore: creates a missing subscription, if it may; returns whether it exists now.
        """

    @property
    def is_unavailable(self) -> bool:
        """Whether Pub/Sub is known to be unavailable."""

    def close(self) -> None:
        """Close all connections of the worker, once all consumers are drained."""


def consumers_of(plan: WorkerPlan, subscriber: Subscriber, times: Times) -> Consumers:
    """What makes the consumers of a worker with ``plan``."""
    if plan.engine == "rele":
        return NativeConsumers(subscriber)
    return GoogleConsumers(subscriber, times)


class GoogleConsumers:
    """Consumers on the streaming pull of Google's client.

    Args:
        subscriber: has the client.
        times: the durations that they use.
    """

    def __init__(self, subscriber: Subscriber, times: Times) -> None:
        self._subscriber = subscriber
        self._times = times

    def make(
        self, plan: ConsumerPlan, callback: Callback, restore: Callable[[], bool]
    ) -> RestartingStream:
        return RestartingStream(
            plan.subscription.name,
            partial(self._consume, plan, callback),
            restore,
            plan.threads,
            max_lease_duration=plan.max_lease_duration,
            is_unavailable=lambda: self._subscriber.is_unavailable,
            times=self._times,
        )

    @property
    def is_unavailable(self) -> bool:
        return self._subscriber.is_unavailable

    def close(self) -> None:
        self._subscriber.close()

    def _consume(self, plan: ConsumerPlan, callback: Callback, scheduler: DrainingScheduler) -> Any:
        return self._subscriber.consume(
            subscription_name=plan.subscription.name,
            callback=callback,
            scheduler=scheduler,
            **({} if plan.flow_control is None else {"flow_control": plan.flow_control}),
        )


class NativeConsumers:
    """Consumers of Relé's own engine.

    Args:
        subscriber: knows the connection.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        # Imported here because a worker on Google's client does not need it.
        from rele.engine.native.pull_engine import PullEngine

        self._engine = PullEngine(subscriber.connection)
        self._subscriber = subscriber

    def make(self, plan: ConsumerPlan, callback: Callback, restore: Callable[[], bool]) -> Consumer:
        from rele.engine.native.consumer_options import ConsumerOptions

        limits: dict[str, Any] = {}
        if plan.flow_control is not None:
            limits["max_messages"] = plan.flow_control.max_messages
            limits["max_bytes"] = plan.flow_control.max_bytes
        policy = plan.dead_letter_policy
        options = ConsumerOptions(
            plan.threads,
            max_lease_duration=plan.max_lease_duration,
            is_exactly_once=plan.confirms_acks,
            max_attempts=None if policy is None else policy.max_delivery_attempts,
            **limits,
        )
        return self._engine.consumer(plan.subscription.name, callback, options, restore)

    @property
    def is_unavailable(self) -> bool:
        return self._engine.is_unavailable

    def close(self) -> None:
        self._engine.close()
        self._subscriber.close()
