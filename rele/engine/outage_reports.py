"""When an outage is reported. No clock, no log."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rele.engine.times import Times


@dataclass(frozen=True)
class Line:
    """A line to log."""

    level: int
    text: str
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True)
class Ongoing:
    """An outage that has not ended."""

    since: float
    is_reported: bool = False


class Outage:
    """Decides when an outage is reported: at once, then once a minute, and when it has ended.

    All times are in seconds of one clock. Not thread-safe: the caller holds a lock.

    Args:
        report_every: seconds between two lines, also of different outages: frequent short outages
            are reported once a minute, too.
    """

    def __init__(self, report_every: float = Times.report_every) -> None:
        self._report_every = report_every
        self._state: Ongoing | None = None
        self._reported_at: float | None = None

    @property
    def is_ongoing(self) -> bool:
        """Whether the outage lasts."""
        return self._state is not None

    def seconds(self, now: float) -> float:
        """For how many seconds the outage has lasted; 0 if there is none."""
        return 0.0 if self._state is None else now - self._state.since

    def begin(self, now: float) -> None:
        """Let the outage begin at ``now``, unless one is ongoing."""
        if self._state is None:
            self._state = Ongoing(now)

    def should_report(self, now: float) -> bool:
        """Return whether to report the outage now; if so, the next report is due in a minute."""
        if self._reported_at is not None and now - self._reported_at < self._report_every:
            return False
        self._reported_at = now
        if self._state is not None:
            self._state = replace(self._state, is_reported=True)
        return True

    def next_report(self, after: float) -> float | None:
        """When the next report is due, the first after ``after`` seconds; ``None``: no outage."""
        if self._state is None:
            return None
        earliest = self._state.since + after
        if self._reported_at is None:
            return earliest
        return max(earliest, self._reported_at + self._report_every)

    def end(self, at: float) -> float | None:
        """End the outage at the time ``at``; return its duration if it was reported."""
        state, self._state = self._state, None
        if state is None or not state.is_reported:
            return None
        return max(at - state.since, 0.0)


def in_a_line(reason: object) -> str:
    """The text of an error, which may have several lines."""
    return " ".join(str(reason).split()).rstrip(".")
