"""The consumers of a worker, on the engine that its plan names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from rele.client import Subscriber
from rele.consuming.worker_plan import ConsumerPlan, WorkerPlan
from rele.engine.base import Consumer
from rele.engine.google.flow_control import flow_control
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.google.streams import RestartingStream
from rele.engine.native.consuming.consumer_options import MAX_BYTES, MAX_MESSAGES, ConsumerOptions
from rele.engine.times import Times
from rele.subscription import Callback

if TYPE_CHECKING:
    from rele.engine.native.consuming.pull_engine import PullEngine


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

    @property
    def unavailable_for(self) -> float:
        """For how many seconds it has been; 0 if it is available."""

    def close(self) -> None:
        """Close all connections of the worker, once all consumers are drained."""


def consumers_of(plan: WorkerPlan, subscriber: Subscriber, times: Times) -> Consumers:
    """What makes the consumers of a worker with ``plan``."""
    if plan.engine == "rele":
        return NativeConsumers(subscriber, times)
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
            unavailable_for=lambda: self._subscriber.unavailable_for,
            limits=partial(_limits, plan),
            times=self._times,
        )

    @property
    def is_unavailable(self) -> bool:
        return self._subscriber.is_unavailable

    @property
    def unavailable_for(self) -> float:
        return self._subscriber.unavailable_for

    def close(self) -> None:
        self._subscriber.close()

    def _consume(self, plan: ConsumerPlan, callback: Callback, scheduler: DrainingScheduler) -> Any:
        project_id = self._subscriber.connection.gc_project_id
        scheduler.path = f"projects/{project_id}/subscriptions/{plan.subscription.name}"
        limits = _limits(plan, scheduler.threads)
        return self._subscriber.consume(
            subscription_name=plan.subscription.name,
            callback=callback,
            scheduler=scheduler,
            **({} if limits is None else {"flow_control": limits}),
        )


class NativeConsumers:
    """Consumers of Relé's own engine.

    Args:
        subscriber: knows the connection.
        times: the durations that they use.
    """

    def __init__(self, subscriber: Subscriber, times: Times) -> None:
        self._subscriber = subscriber
        self._times = times

    @cached_property
    def _engine(self) -> PullEngine:
        """Made when the first consumer is: it needs credentials."""
        # Imported here because a worker on Google's client does not need it.
        from rele.engine.native.consuming.pull_engine import PullEngine

        _import_what_publishes()
        return PullEngine(self._subscriber.connection, self._times)

    def make(self, plan: ConsumerPlan, callback: Callback, restore: Callable[[], bool]) -> Consumer:
        return self._engine.consumer(plan.subscription.name, callback, options_of(plan), restore)

    @property
    def is_unavailable(self) -> bool:
        return "_engine" in vars(self) and self._engine.is_unavailable

    @property
    def unavailable_for(self) -> float:
        return self._engine.unavailable_for if "_engine" in vars(self) else 0.0

    def close(self) -> None:
        if "_engine" in vars(self):
            self._engine.close()
        self._subscriber.close()


def options_of(plan: ConsumerPlan) -> ConsumerOptions:
    """How Relé's own engine consumes what ``plan`` says."""
    stated, policy, batch = plan.options, plan.dead_letter_policy, plan.subscription.batch
    batch_size = 1 if batch is None else batch.max_messages
    return ConsumerOptions(
        plan.threads,
        max_messages=stated.max_messages or max(MAX_MESSAGES, 2 * plan.threads * batch_size),
        follows_threads=stated.max_messages is None,
        max_bytes=stated.max_bytes or MAX_BYTES,
        ack_deadline=plan.longest_lease,
        max_lease_duration=plan.max_lease_duration,
        is_exactly_once=plan.confirms_acks,
        max_attempts=None if policy is None else policy.max_delivery_attempts,
        streams=stated.streams or 1,
        adapts=stated.flow != "fixed",
        batch_size=batch_size,
        batch_wait=None if batch is None else batch.seconds,
        is_async=plan.is_on_loop,
    )


def _limits(plan: ConsumerPlan, threads: int) -> Any:
    """Google's FlowControl for so many threads; ``None`` for the default of Google's client."""
    return None if plan.flow_control is None else flow_control(plan.options, threads)


def _import_what_publishes() -> None:
    """Import what the first publish would import.

    A handler may fork while another one publishes for the first time. The child could not publish
    then: a module that another thread imports stays locked in it.
    """
    for module in (
        "rele.backends.pubsub",
        "rele.engine.native.publishing.publisher",
        "rele.sending.process_end",
        "rele.sending.publisher",
    ):
        import_module(module)
