"""A subscription of Relé's own engine in virtual time: its core, without a driver."""

from __future__ import annotations

from typing import Any

from rele.engine.native.consuming.consume_actions import Actions
from rele.engine.native.consuming.consume_core import ConsumeCore
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.lease_calls import Call
from rele.engine.native.consuming.pull_streams import Stream

ACK, NACK = Settled("ack"), Settled("nack")


class VirtualConsumer:
    """A subscription in virtual time, whose calls are answered when the test says so."""

    def __init__(self, threads: int = 2, **options: Any) -> None:
        self.now = 100.0
        self.core = ConsumeCore(ConsumerOptions(threads, **options), random=lambda: 0.5)
        self.ready: list[Delivery] = []
        self.calls: list[Call] = []
        self.opened: list[Stream] = []
        self.closed: list[Stream] = []
        self.not_begun = 0
        """How many messages were nacked since the subscription is paused."""
        self._number = 0
        self.core.start(self.now)
        self.act()

    def act(self) -> None:
        actions: Actions = self.core.act(self.now)
        self.ready += actions.ready
        self.calls += actions.work.calls
        self.opened += actions.streams.open
        self.closed += actions.streams.close
        self.not_begun += actions.not_begun

    def receive(self, *keys: str) -> list[Delivery]:
        deliveries = []
        for key in keys:
            self._number += 1
            deliveries.append(Delivery(f"ack-{self._number}", f"id-{self._number}", key))
        self.core.receive(self.opened[-1], deliveries, self.now)
        self.act()
        return deliveries

    def begin(self, delivery: Delivery) -> bool:
        return self.core.begin(delivery, self.now)

    def settle(self, delivery: Delivery, settled: Settled = ACK) -> None:
        self.core.settle(delivery, settled, self.now)
        self.core.finish(delivery, self.now)
        self.act()

    def handle(self, delivery: Delivery, settled: Settled = ACK) -> None:
        assert self.begin(delivery)
        self.settle(delivery, settled)

    def answer(self, error: str | None = None, **refused: str) -> None:
        by_id = {name.replace("_", "-"): reason for name, reason in refused.items()}
        for call in self.calls:
            self.core.note_answer(call, self.now, error=error, refused=by_id)
        self.calls.clear()
        self.act()

    def advance(self, seconds: float, *, answering: bool = True) -> None:
        until = self.now + seconds
        while (due := self.core.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.act()
            if answering:
                self.answer()
        self.now = until
        self.act()

    def purposes(self) -> list[str]:
        return [call.purpose for call in self.calls]
