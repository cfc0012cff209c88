"""A model of handlers: how long they take, how they end, and the threads that they run in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from rele.engine.native.consuming.delivery import Delivery, Settled

Kind = Literal["works", "fails", "postpones", "never returns", "kills", "holds", "poison"]

CONFIRMED_WITHIN = 60.0
"""Seconds that a handler's thread waits for the confirmation of its ack."""


@dataclass(frozen=True)
class Behaviour:
    """What a handler does with one message."""

    kind: Kind = "works"
    seconds: float = 0.01
    """How long it runs."""
    times: int = 0
    """How often it does not work, until it does."""
    delay: int = 0
    """Seconds of a delay that a handler asks for, or that follows its failure without a retry
    policy; 0 stands for a nack."""


class Process(Protocol):
    """What handlers need of the process that they run in."""

    is_dead: bool

    def behaviour(self, delivery: Delivery) -> tuple[Behaviour, int]: ...
    def note(self, kind: str, delivery: Delivery, detail: object = None) -> None: ...
    def soon(self, function: Callable[..., object], *arguments: object) -> None: ...
    def later(
        self, seconds: float, function: Callable[..., object], *arguments: object
    ) -> None: ...
    def begin(self, delivery: Delivery) -> bool: ...
    def settle(self, delivery: Delivery, settled: Settled) -> None: ...
    def finish(self, delivery: Delivery) -> None: ...
    def crash(self) -> None: ...
    def suspend(self, seconds: float) -> None: ...
    def clock(self) -> float: ...


class ModelHandlers:
    """What ``rele/engine/native/consuming/handler_threads.py`` is with real threads.

    Args:
        threads: how many messages are handled at a time.
        process: where they run.
        waits_for_confirmation: whether a thread waits for the confirmation of its ack.
        max_attempts: after which a message becomes a dead letter.
    """

    def __init__(
        self,
        threads: int,
        process: Process,
        *,
        waits_for_confirmation: bool,
        max_attempts: int | None,
    ) -> None:
        self._idle = threads
        self._threads = threads
        self._process = process
        self._max_attempts = max_attempts
        self._waits = waits_for_confirmation
        self._ready: deque[Delivery] = deque()
        self._waiting: set[Delivery] = set()
        """What was acked and is not confirmed."""
        self.begun: dict[Delivery, None] = {}
        """What is being handled."""

    @property
    def running(self) -> int:
        """How many threads handle messages now."""
        return self._threads - self._idle

    def set_number(self, threads: int) -> None:
        """Let so many messages be handled at a time, after :meth:`start`."""
        self._idle += threads - self._threads
        self._threads = threads

    def cancel(self) -> bool:
        """Threads cannot be cancelled."""
        return False

    def add(self, delivery: Delivery) -> None:
        """Let a thread handle ``delivery``, after :meth:`start`."""
        self._ready.append(delivery)

    def next_due(self) -> float | None:
        """When to call :meth:`start`: not before the next event."""
        return None

    def clear(self) -> list[Delivery]:
        """Handle nothing of what waits; return it."""
        cleared = [*self._ready]
        self._ready.clear()
        return cleared

    def start(self) -> None:
        """Start as many threads as are needed and allowed."""
        for _ in range(min(len(self._ready), max(self._idle, 0))):
            self._idle -= 1
            self._process.soon(self._next)

    def abandon(self, delivery: Delivery, is_handed: Callable[[Delivery], bool]) -> None:
        """Only batches wait for a handler that may never return."""

    def confirm(self, delivery: Delivery) -> None:
        """Note that Pub/Sub has answered an ack."""
        if delivery in self._waiting:
            self._process.soon(self._confirmed, delivery)

    def _next(self) -> None:
        while self._ready and self._idle >= 0:
            delivery = self._ready.popleft()
            if self._process.begin(delivery):
                self._run(delivery)
                return
            self._process.note("skipped", delivery)
            self._end_of(delivery)
        self._idle += 1

    def _run(self, delivery: Delivery) -> None:
        process = self._process
        behaviour, number = process.behaviour(delivery)
        self.begun[delivery] = None
        process.note("begun", delivery)
        fails = behaviour.kind == "poison" or number <= behaviour.times
        if fails and behaviour.kind == "kills":
            process.crash()
        elif fails and behaviour.kind == "never returns":
            pass
        else:
            if fails and behaviour.kind == "holds":
                self._hold(behaviour.seconds)
            process.later(behaviour.seconds, self._end, delivery, behaviour, fails)

    def _hold(self, seconds: float) -> None:
        """A handler holds the interpreter."""
        self._process.suspend(seconds)

    def _end(self, delivery: Delivery, behaviour: Behaviour, fails: bool) -> None:
        process = self._process
        del self.begun[delivery]
        if fails and behaviour.kind != "holds":
            process.note("failed", delivery, delivery.attempt)
            if delivery.attempt is not None and delivery.attempt == self._max_attempts:
                process.note("given_up", delivery)
            if behaviour.delay:
                process.settle(delivery, Settled("drop"))
                process.settle(delivery, Settled("delay", behaviour.delay))
            else:
                process.settle(delivery, Settled("nack"))
        else:
            process.note("handled", delivery)
            process.settle(delivery, Settled("ack", wants_response=self._waits))
            if self._waits:
                self._waiting.add(delivery)
                process.later(CONFIRMED_WITHIN, self._confirmed, delivery)
                return
        self._return(delivery)

    def _confirmed(self, delivery: Delivery) -> None:
        if delivery in self._waiting:
            self._waiting.discard(delivery)
            self._return(delivery)

    def _return(self, delivery: Delivery) -> None:
        self._end_of(delivery)
        self._next()

    def _end_of(self, delivery: Delivery) -> None:
        self._process.note("returned", delivery)
        self._process.finish(delivery)
