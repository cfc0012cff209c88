"""Whether Pub/Sub is available, by what its streams and its connection do. No clock, no thread."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from rele.endpoint import what_to_check
from rele.engine.outage_reports import Line, Outage, in_a_line
from rele.engine.times import Times

_LOOK_EVERY = 0.25
"""Seconds between two looks, while Pub/Sub is unavailable."""


@dataclass(frozen=True)
class Refusal:
    """A stream was not accepted although others, or the connection, are well."""

    at: float
    reason: str


@dataclass(frozen=True)
class Available:
    """As far as anybody knows."""


@dataclass(frozen=True)
class Unavailable:
    """Streams fail now, or the connection is lost."""

    connected_at: float | None = None
    """Since when there is a connection; ``None`` while there is none."""
    refusal: Refusal | None = None
    """The last one by that connection."""


class Availability:
    """Decides whether Pub/Sub is available to the streams of one client.

    Google's client opens a failing stream again in silence, for as long as it takes. So each
    stream that has failed is noted here, and from then on the state of the connection, until all
    is well again.

    All times are of one clock, in seconds. Whoever uses it from several threads holds a lock.

    Args:
        address: the server's, for the log.
        times: by which it decides.
    """

    def __init__(self, address: str, times: Times) -> None:
        self._address = address
        self._times = times
        self._outage = Outage(times.report_every)
        self._failed_at: float | None = None
        self.state: Available | Unavailable = Available()

    def note_failure(self, now: float, age: float, reason: str) -> bool:
        """Note that a stream has ended by an error after ``age`` seconds.

        An old one may have been ended for its age; a young one was not accepted.

        Returns:
            whether the connection has to be followed from now on.
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
        """It is one if the connection stands, or if another stream has failed a while ago."""
        if isinstance(self.state, Unavailable) and self.state.connected_at is not None:
            return True
        if self._failed_at is None:
            return False
        return self._times.at_once <= now - self._failed_at < self._times.accepted_after

    def note_connection(self, now: float, *, is_ready: bool) -> None:
        """Note whether there is a connection, while it is followed."""
        if isinstance(self.state, Available):
            return
        if not is_ready:
            self.state = Unavailable()
        elif self.state.connected_at is None:
            self.state = replace(self.state, connected_at=now)

    def look(self, now: float) -> Line | None:
        """Decide whether it is over; return what is to be logged."""
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

    def next_look(self, now: float) -> float | None:
        """When to call :meth:`look` again; ``None`` while Pub/Sub is available."""
        return None if isinstance(self.state, Available) else now + _LOOK_EVERY

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
            what, why = "cannot be reached", f"what can be done: {what_to_check(self._address)}"
        elif state.refusal is not None and self._is_refused(state, now):
            what, why = "cannot be used", f"the reason: {state.refusal.reason}"
        else:
            return None
        if not self._outage.should_report(now):
            return None
        return Line(
            logging.WARNING,
            "Pub/Sub at %s %s, for %.0f s now; Relé goes on trying, and messages wait there; %s",
            (self._address, what, seconds, why),
        )
