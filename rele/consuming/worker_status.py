"""What a worker contributes to the status of its process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rele.consuming.worker_health import complaints
from rele.consuming.worker_plan import ConsumerPlan, WorkerPlan
from rele.engine.base import Consumer
from rele.status.providers import STATUS
from rele.status.snapshot import Contribution, Phase, SubscriptionStatus


class WorkerStatus:
    """The phase of one worker, how it consumes, and what is wrong with it.

    Args:
        plan: what the worker does.
        unavailable_for: for how many seconds Pub/Sub has been unavailable.
    """

    def __init__(self, plan: WorkerPlan, unavailable_for: Callable[[], float]) -> None:
        self._plan = plan
        self._unavailable_for = unavailable_for
        self._consumers: Sequence[tuple[ConsumerPlan, Consumer]] = ()
        self._phase = Phase.STARTING
        self._opened: set[str] = set()
        """The subscriptions that have had a stream, as far as somebody has looked, or need none."""
        self._remove: Callable[[], None] | None = None

    def begin(self) -> None:
        """Show the worker, which begins to set up."""
        if self._remove is None:
            self._phase = Phase.STARTING
            self._remove = STATUS.add(self)

    def consume(self, consumers: Sequence[Consumer]) -> None:
        """Note that it begins to consume with ``consumers``, in the order of its plan."""
        self._consumers = tuple(zip(self._plan.consumers, consumers, strict=True))
        self._phase = Phase.CONSUMING

    def drain(self) -> None:
        """Note that it begins no more messages."""
        self._phase = Phase.DRAINING

    def end(self) -> None:
        """Show it no more."""
        self._phase = Phase.ENDED
        if self._remove is not None:
            self._remove()
            self._remove = None

    def __call__(self) -> Contribution:
        """What the worker contributes now, in any thread."""
        subscriptions = tuple(_status(plan, consumer) for plan, consumer in self._consumers)
        phase = self._shown_phase(subscriptions)
        return Contribution(
            phase=phase,
            subscriptions=subscriptions,
            complaints=tuple(
                complaints(
                    phase,
                    subscriptions,
                    unavailable_for=self._unavailable_for(),
                    handler_limit=self._plan.handler_limit,
                )
            ),
        )

    def _shown_phase(self, subscriptions: Sequence[SubscriptionStatus]) -> Phase:
        """It starts until each subscription that is not paused has had a stream."""
        if self._phase is not Phase.CONSUMING:
            return self._phase
        self._opened.update(
            each.name for each in subscriptions if each.streams or each.is_paused or each.received
        )
        has_opened_all = all(each.name in self._opened for each in subscriptions)
        return Phase.CONSUMING if has_opened_all else Phase.STARTING


def _status(plan: ConsumerPlan, consumer: Consumer) -> SubscriptionStatus:
    return replace(consumer.status(), topic=plan.subscription.topic)
