"""Whether Pub/Sub is available, judged by its streams and connection. No clock, no thread."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from rele.endpoint import what_to_check
from rele.engine.outage_reports import Line, Outage, in_a_line
from rele.engine.times import Times

_CHECK_EVERY = 0.25
"""Seconds between two checks while Pub/Sub is unavailable."""


@dataclass(frozen=True)
class Refusal:
    """A stream was not accepted although other streams, or the connection, work."""

    at: float
    reason: str


@dataclass(frozen=True)
class Available:
    """No failure is known."""


@dataclass(frozen=True)
class Unavailable:
    """Streams fail now, or the connection is lost."""

    connected_at: float | None = None
    """When the connection was made; ``None`` while there is none."""
    refusal: Refusal | None = None
    """The last refusal on that connection."""


class Availability:
    """Decides whether Pub/Sub is available to the streams of one client.

    Google's client reopens a failing stream silently and without limit. So each failure of a stream
    is noted here, and after it the state of the connection, until Pub/Sub is available again.

    All times are in seconds of one clock. Not thread-safe: the caller holds a lock.

    Args:
        address: the server's address, for the log.
        times: the durations that it uses; tests shorten them.
    """

    def __init__(self, address: str, times: Times) -> None:
        self._address = address
        self._times = times
        self._outage = Outage(times.report_every)
        self._failed_at: float | None = None
        self.state: Available | Unavailable = Available()

    def note_failure(self, now: float, age: float, reason: str) -> bool:
        """Note that a stream has ended by an error after ``age`` seconds.

        Pub/Sub ends old streams as a matter of course; a young stream was not accepted.

        Returns:
            whether the connection must be watched from now on.
        """
        begins = isinstance(self.state, Available)
        if isinstance(self.state, Available):
            self.state = Unavailable()
            self._outage.begin(now)
        if age < self._times.accepted_after:
            if self._is_refusal(now):
                self.state = replace(self.state, refusal=Refusal(now, in_a_line(reason)))
            self._failed_at = now
        return begins

    def _is_refusal(self, now: float) -> bool:
        """Whether a failure is a refusal: the connection works, or a stream failed earlier, too."""
        if isinstance(self.state, Unavailable) and self.state.connected_at is not None:
            return True
        if self._failed_at is None:
            return False
        return self._times.at_once <= now - self._failed_at < self._times.accepted_after

    def note_connection(self, now: float, *, is_ready: bool) -> None:
        """Note whether there is a connection, while it is watched."""
        if isinstance(self.state, Available):
            return
        if not is_ready:
            self.state = Unavailable()
        elif self.state.connected_at is None:
            self.state = replace(self.state, connected_at=now)

    def check(self, now: float) -> Line | None:
        """Decide whether the outage is over; return the line to log, if any."""
        state = self.state
        if isinstance(state, Available):
            return None
        if not self._is_over(state, now):
            return self._report(state, now)
        self.state = Available()
        at = max(state.connected_at or 0.0, state.refusal.at if state.refusal else 0.0)
        seconds = self._outage.end(at)
        if seconds is None:
            return None
        return Line(
            logging.INFO, "Pub/Sub at %s answers again, after %.0f s.", (self._address, seconds)
        )

    def seconds(self, now: float) -> float:
        """For how long Pub/Sub has been unavailable; 0 if it is available."""
        return 0.0 if isinstance(self.state, Available) else self._outage.seconds(now)

    def next_check(self, now: float) -> float | None:
        """When to call :meth:`check` again; ``None`` while Pub/Sub is available."""
        return None if isinstance(self.state, Available) else now + _CHECK_EVERY

    def _is_over(self, state: Unavailable, now: float) -> bool:
        return (
            state.connected_at is not None
            and now - state.connected_at >= self._times.connected_for
            and not self._is_refused(state, now)
        )

    def _is_refused(self, state: Unavailable, now: float) -> bool:
        return state.refusal is not None and now - state.refusal.at < self._times.accepted_after

    def _report(self, state: Unavailable, now: float) -> Line | None:
        seconds = self._outage.seconds(now)
        if seconds < self._times.outage_grace:
            return None
        if state.connected_at is None:
            what, why = "cannot be reached", f"what to do: {what_to_check(self._address)}"
        elif state.refusal is not None and self._is_refused(state, now):
            what, why = "cannot be used", f"the reason: {state.refusal.reason}"
        else:
            return None
        if not self._outage.should_report(now):
            return None
        return Line(
            logging.WARNING,
            "Pub/Sub at %s %s, for %.0f s now; Relé keeps trying, and messages wait there; %s",
            (self._address, what, seconds, why),
        )
