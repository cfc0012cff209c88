"""When a stream that has ended is started again, and what is logged of it. No clock, no thread."""

from __future__ import annotations

import random
from dataclasses import dataclass

from rele.engine.outage_reports import Outage
from rele.engine.times import Times


@dataclass(frozen=True)
class Closed:
    """It was not opened yet."""


@dataclass(frozen=True)
class Open:
    """It is open, and healthy as far as anybody knows."""


@dataclass(frozen=True)
class Interrupted:
    """It has ended, for the ``attempt``-th time without having been healthy in between."""

    attempt: int


@dataclass(frozen=True)
class Reopened:
    """It was opened again, and has yet to show that it is healthy."""

    attempt: int
    opened_at: float


@dataclass(frozen=True)
class Draining:
    """It is to end, and is waited for until a deadline."""

    begun_at: float
    deadline: float

    def seconds_to_wait(
        self, now: float, times: Times, *, running: int, is_unavailable: bool
    ) -> float:
        """For how long to wait for a stream that has not ended before asking again; at last 0.

        What is acknowledged while Pub/Sub is unavailable does not arrive: then only the handlers
        are waited for, and the stream for a moment.
        """
        end = self.deadline + times.last_acks
        if is_unavailable and not running:
            end = min(end, self.begun_at + times.unavailable_grace)
        return max(end - now, 0.0)


State = Closed | Open | Interrupted | Reopened | Draining


class Restarts:
    """Decides about the stream of one subscription.

    All times are of one clock, in seconds. Whoever uses it from several threads holds a lock.
    """

    def __init__(self, times: Times) -> None:
        self._times = times
        self._outage = Outage(times.report_every)
        self.state: State = Closed()

    def opened(self, now: float) -> float | None:
        """Note that it is open; return when to call :meth:`look_after_health`, if at all."""
        if isinstance(self.state, Interrupted):
            self.state = Reopened(self.state.attempt, now)
            return now + self._times.healthy_after
        self.state = Open()
        return None

    def ended(self, now: float) -> float | None:
        """Note that it has ended; return when to start it again, ``None`` if not at all."""
        if isinstance(self.state, Draining):
            return None
        self._outage.begin(now)
        attempt = 1
        if isinstance(self.state, (Interrupted, Reopened)):
            attempt = self.state.attempt + 1
        self.state = Interrupted(attempt)
        # The exponent is limited, since a float is.
        pause = self._times.first_pause * 2.0 ** min(attempt - 1, 30)
        return now + min(pause, self._times.longest_pause) * random.uniform(0.5, 1.0)

    def report(self, now: float) -> float | None:
        """For how long it has been interrupted, if that is to be logged now."""
        return self._outage.seconds(now) if self._outage.should_report(now) else None

    def look_after_health(self, now: float) -> float | None:
        """Return for how long it had been interrupted, if it has recovered and that was logged."""
        if not isinstance(self.state, Reopened):
            return None
        opened_at = self.state.opened_at
        if now - opened_at < self._times.healthy_after:
            return None
        self.state = Open()
        return self._outage.end(opened_at)

    def drain(self, now: float, deadline: float) -> Draining:
        """Begin to end."""
        self.state = Draining(now, deadline)
        return self.state


class LostThreads:
    """Decides whether a thread that serves a stream is lost for good."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._suspect: str | None = None

    def is_lost(self, name: str | None) -> bool:
        """Whether a check finds the same thread ended as the one before.

        Args:
            name: of the thread that has ended, ``None`` where all are alive.
        """
        is_lost = name is not None and name == self._suspect
        self._suspect = None if is_lost else name
        return is_lost

    def next_check(self, now: float) -> float:
        """When to check next."""
        suspects = self._suspect is not None
        return now + (self._times.confirm_after if suspects else self._times.check_every)
