"""The network between workers and server: how long things travel, and whether they arrive."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.clockwork import Clockwork

RETRANSMITTED_AFTER = 0.2
"""Seconds that a lost packet adds, at least."""


class Network:
    """What all links have in common, and what faults change.

    Args:
        clockwork: the time.
        random: decides about each transport.
        latency: the shortest and the usual longest time in seconds of a transport.
    """

    def __init__(self, clockwork: Clockwork, random: Random, latency: tuple[float, float]) -> None:
        self.clockwork = clockwork
        self.random = random
        self.latency = latency
        self.slow = 0.0
        """Seconds that a transport takes longer, at most."""
        self.lost_requests = 0.0
        self.lost_answers = 0.0
        self.failed_calls = 0.0
        """The chance that a unary call fails so: its request or its answer is lost, or the server
        answers with an error."""
        self.late_requests = 0.0
        """The chance that a request is processed only after its sender has given up."""

    def happens(self, chance: float) -> bool:
        """Whether something happens that has this chance."""
        return chance > 0 and self.random.random() < chance

    def delay(self) -> float:
        """How long one transport takes."""
        low, high = self.latency
        delay = low + (high - low) * self.random.random()
        if self.slow:
            delay += self.slow * self.random.random() ** 2
        return delay


class Link:
    """The connection between one process and the server.

    Args:
        network: the network that it is part of.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._is_cut = False
        self._held: list[tuple[Callable[..., object], Any]] = []

    def send(self, function: Callable[..., object], *arguments: Any, extra: float = 0.0) -> None:
        """Have ``function`` called at the other end."""
        if self._is_cut:
            self._held.append((function, arguments))
        else:
            delay = self._network.delay() + extra
            self._network.clockwork.after(delay, self._arrive, function, arguments)

    def cut(self) -> None:
        """Let nothing through, until it is mended."""
        self._is_cut = True

    def mend(self, *, is_reset: bool) -> None:
        """Let all through again: with what is on its way, unless the connection was reset."""
        self._is_cut = False
        held, self._held = self._held, []
        if not is_reset:
            for function, arguments in held:
                self.send(function, *arguments, extra=RETRANSMITTED_AFTER)

    def _arrive(self, function: Callable[..., object], arguments: Any) -> None:
        if self._is_cut:
            self._held.append((function, arguments))
        else:
            function(*arguments)


class Pipe:
    """One direction of a stream on a link: things arrive in the order in which they were sent."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sent = 0
        self._arrived = 0
        self._early: dict[int, tuple[Callable[..., object], Any]] = {}
        self.is_dead = False
        """Whether what is sent gets lost without a word."""

    def send(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have ``function`` called at the other end, after all that was sent before."""
        if not self.is_dead:
            self._link.send(self._arrive, self._sent, function, arguments)
            self._sent += 1

    def _arrive(self, number: int, function: Callable[..., object], arguments: Any) -> None:
        if self.is_dead:
            return
        self._early[number] = (function, arguments)
        while self._arrived in self._early:
            function, arguments = self._early.pop(self._arrived)
            self._arrived += 1
            function(*arguments)
