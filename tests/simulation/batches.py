"""A model of handlers of batches, which handle one message of a batch after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from rele.engine.native.consuming.batching import Batching
from rele.engine.native.consuming.delivery import Delivery, Settled
from tests.simulation.handlers import CONFIRMED_WITHIN, Behaviour, Process


class ProcessOfBatches(Process, Protocol):
    """What handlers of batches need of the process that they run in."""

    def begin_together(self, batch: list[Delivery]) -> list[Delivery]: ...
    def ack_together(self, deliveries: list[Delivery]) -> None: ...
    def finish_together(
        self, batch: list[Delivery], then: Callable[[Callable[[Delivery], bool]], None]
    ) -> None: ...


class ModelBatches:
    """What ``rele/engine/native/consuming/batch_handlers.py`` is with real threads.

    Args:
        threads: how many batches are handled at a time.
        batching: gathers them.
        process: where they run.
        waits_for_confirmation: whether a thread waits for the confirmation of its acks.
        max_attempts: after which a message becomes a dead letter.
    """

    def __init__(
        self,
        threads: int,
        batching: Batching,
        process: ProcessOfBatches,
        *,
        waits_for_confirmation: bool,
        max_attempts: int | None,
    ) -> None:
        self._threads = threads
        self._batching = batching
        self._process = process
        self._waits = waits_for_confirmation
        self._max_attempts = max_attempts
        self._confirming: list[_Batch] = []
        self.running = 0
        """How many batches are being handled."""
        self.begun: dict[Delivery, None] = {}
        """What was begun and is not settled: a batch is settled at its end."""

    def set_number(self, threads: int) -> None:
        """Let so many batches be handled at a time, after :meth:`start`."""
        self._threads = threads

    def cancel(self) -> bool:
        """Threads cannot be cancelled."""
        return False

    def add(self, delivery: Delivery) -> None:
        """Let ``delivery`` be a part of a batch."""
        self._batching.add(delivery)

    def clear(self) -> list[Delivery]:
        """Handle nothing of what waits; return it."""
        return self._batching.clear()

    def next_due(self) -> float | None:
        """When to call :meth:`start`; ``None``: not before the next event."""
        return self._batching.next_due() if self.running < self._threads else None

    def start(self) -> None:
        """Hand over as many batches as are complete and allowed."""
        now = self._process.clock()
        while self.running < self._threads and (batch := self._batching.take_due(now)):
            self.running += 1
            self._process.soon(self._begin, batch)

    def abandon(self, delivery: Delivery, is_handed: Callable[[Delivery], bool]) -> None:
        """Go on with the key of ``delivery``, whose handler may never return."""
        for each in self.begun:
            if each.key and each.key == delivery.key:  # a part of the same batch
                self._process.note("abandoned", each)
        self._batching.abandon(delivery, is_handed)

    def confirm(self, delivery: Delivery) -> None:
        """Note that Pub/Sub has answered an ack."""
        for batch in [*self._confirming]:
            batch.waiting.discard(delivery)
            if not batch.waiting:
                self._process.soon(self._return, batch)

    def _begin(self, deliveries: list[Delivery]) -> None:
        begun = self._process.begin_together(deliveries)
        for delivery in begun:
            self._process.note("given", delivery)
        self._note_skipped(each for each in deliveries if each not in begun)
        self._go_on(_Batch(deliveries, begun))

    def _go_on(self, batch: _Batch) -> None:
        """Begin with the next message, unless what it follows in its key has failed."""
        process = self._process
        if not batch.left:
            self._settle(batch)
            return
        delivery = batch.left.pop(0)
        if delivery.is_lost or delivery.key in batch.failed_keys:
            batch.failed_keys |= {delivery.key} - {""}
            self._note_skipped([delivery])
            self._go_on(batch)
            return
        behaviour, number = process.behaviour(delivery)
        self.begun[delivery] = None
        process.note("begun", delivery)
        fails = behaviour.kind == "poison" or number <= behaviour.times
        if fails and behaviour.kind == "kills":
            process.crash()
        elif not (fails and behaviour.kind == "never returns"):
            if fails and behaviour.kind == "holds":
                process.suspend(behaviour.seconds)
            process.later(behaviour.seconds, self._end, batch, delivery, behaviour, fails)

    def _end(self, batch: _Batch, delivery: Delivery, behaviour: Behaviour, fails: bool) -> None:
        process = self._process
        if fails and behaviour.kind != "holds":
            process.note("failed", delivery, delivery.attempt)
            if delivery.attempt is not None and delivery.attempt == self._max_attempts:
                process.note("given_up", delivery)
            batch.failed.append((delivery, behaviour.delay))
            batch.failed_keys |= {delivery.key} - {""}
        else:
            process.note("handled", delivery)
            batch.handled.append(delivery)
        process.note("returned", delivery)
        self._go_on(batch)

    def _settle(self, batch: _Batch) -> None:
        process = self._process
        for delivery in batch.all:
            self.begun.pop(delivery, None)
        if self._waits:
            for delivery in batch.handled:
                process.settle(delivery, Settled("ack", wants_response=True))
        elif batch.handled:
            process.ack_together(batch.handled)
        for delivery, delay in batch.failed:
            if delay:
                process.settle(delivery, Settled("drop"))
                process.settle(delivery, Settled("delay", delay))
            else:
                process.settle(delivery, Settled("nack"))
        batch.waiting = set(batch.handled) if self._waits else set()
        self._confirming.append(batch)
        if batch.waiting:
            process.later(CONFIRMED_WITHIN, self._return, batch)
        else:
            self._return(batch)

    def _return(self, batch: _Batch) -> None:
        if batch in self._confirming:
            self._confirming.remove(batch)
            self._process.finish_together(
                batch.all, lambda is_handed: self._release(batch, is_handed)
            )

    def _release(self, batch: _Batch, is_handed: Callable[[Delivery], bool]) -> None:
        self.running -= 1
        self._batching.release(batch.all, is_handed)

    def _note_skipped(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self._process.note("skipped", delivery)


class _Batch:
    """One batch that is being handled."""

    def __init__(self, deliveries: list[Delivery], begun: list[Delivery]) -> None:
        self.all = deliveries
        self.left = [*begun]
        self.handled: list[Delivery] = []
        self.failed: list[tuple[Delivery, int]] = []
        self.failed_keys: set[str] = set()
        self.waiting: set[Delivery] = set()
        """What was acked and is not confirmed."""
