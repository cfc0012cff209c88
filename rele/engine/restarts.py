"""When a stream that has ended is restarted, and when this is logged. No clock, no thread."""

from __future__ import annotations

import random
from dataclasses import dataclass

from rele.engine.outage_reports import Outage
from rele.engine.times import Times


@dataclass(frozen=True)
class Closed:
    """The stream was not opened yet."""


@dataclass(frozen=True)
class Open:
    """The stream is open, and no failure is known."""


@dataclass(frozen=True)
class Interrupted:
    """The stream has ended, for the ``attempt``-th time without having been healthy in between."""

    attempt: int


@dataclass(frozen=True)
class Reopened:
    """The stream was opened again; whether it is healthy is not known yet."""

    attempt: int
    opened_at: float


@dataclass(frozen=True)
class Paused:
    """The stream is closed until it is resumed."""


@dataclass(frozen=True)
class Draining:
    """The stream is ending, and is waited for until a deadline."""

    begun_at: float
    deadline: float

    def seconds_to_wait(
        self, now: float, times: Times, *, running: int, is_unavailable: bool
    ) -> float:
        """For how long to wait for the stream before this method is called again; 0 to give up.

        While Pub/Sub is unavailable, acknowledgements do not arrive, so it is enough to wait for
        the handlers, and a moment for the stream.
        """
        end = self.deadline + times.last_acks
        if is_unavailable and not running:
            end = min(end, self.begun_at + times.unavailable_grace)
        return max(end - now, 0.0)


State = Closed | Open | Interrupted | Reopened | Paused | Draining


class Restarts:
    """Decides about the stream of one subscription.

    All times are in seconds of one clock. Not thread-safe: the caller holds a lock.
    """

    def __init__(self, times: Times) -> None:
        self._times = times
        self._outage = Outage(times.report_every)
        self.state: State = Closed()

    def opened(self, now: float) -> float | None:
        """Note that the stream is open; return when to call :meth:`check_health`, if at all."""
        if isinstance(self.state, Interrupted):
            self.state = Reopened(self.state.attempt, now)
            return now + self._times.healthy_after
        self.state = Open()
        return None

    def ended(self, now: float) -> float | None:
        """Note that the stream has ended; return when to restart it, ``None`` if not at all."""
        if not self.is_to_be_open:
            return None
        self._outage.begin(now)
        attempt = 1
        if isinstance(self.state, (Interrupted, Reopened)):
            attempt = self.state.attempt + 1
        self.state = Interrupted(attempt)
        # The exponent is limited to prevent an overflow.
        pause = self._times.first_pause * 2.0 ** min(attempt - 1, 30)
        return now + min(pause, self._times.longest_pause) * random.uniform(0.5, 1.0)

    @property
    def is_to_be_open(self) -> bool:
        """Whether the stream is neither paused nor ending."""
        return not isinstance(self.state, (Paused, Draining))

    def pause(self) -> bool:
        """Keep the stream closed from now on; return whether it is to be closed here."""
        if not self.is_to_be_open:
            return False
        self.state = Paused()
        self._outage = Outage(self._times.report_every)
        return True

    def resume(self) -> bool:
        """Return whether the stream is to be opened again."""
        if not isinstance(self.state, Paused):
            return False
        self.state = Closed()
        return True

    def interrupted_for(self, now: float) -> float | None:
        """For how many seconds the stream has been interrupted; ``None`` if it is not."""
        return self._outage.seconds(now) if isinstance(self.state, Interrupted) else None

    def report(self, now: float) -> float | None:
        """For how long the stream has been interrupted, if this is to be logged now."""
        return self._outage.seconds(now) if self._outage.should_report(now) else None

    def check_health(self, now: float) -> float | None:
        """Return for how long the interruption lasted, if it is over and was logged."""
        if not isinstance(self.state, Reopened):
            return None
        opened_at = self.state.opened_at
        if now - opened_at < self._times.healthy_after:
            return None
        self.state = Open()
        return self._outage.end(opened_at)

    def drain(self, now: float, deadline: float) -> Draining:
        """Begin to end the stream."""
        self.state = Draining(now, deadline)
        return self.state


class LostThreads:
    """Decides whether a thread that serves a stream is lost for good."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._suspect: str | None = None

    def is_lost(self, name: str | None) -> bool:
        """Whether this check finds the same thread ended as the check before.

        Args:
            name: the thread that has ended, ``None`` if all threads are alive.
        """
        is_lost = name is not None and name == self._suspect
        self._suspect = None if is_lost else name
        return is_lost

    def next_check(self, now: float) -> float:
        """When to check next."""
        suspects = self._suspect is not None
        return now + (self._times.confirm_after if suspects else self._times.check_every)
