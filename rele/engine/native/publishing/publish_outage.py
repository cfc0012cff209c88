"""The log lines about messages that cannot be sent. No clock, no log."""

from __future__ import annotations

import logging

from rele.engine.native.publishing.lanes import Lane, Topic
from rele.engine.native.publishing.retrying import PublishTimes
from rele.engine.outage_reports import Line, Outage, in_a_line


class PublishOutage:
    """Notes which topics and ordering keys fail, and reports it: once a minute, and its end.

    Args:
        address: the server's address.
        times: the durations that it uses.
    """

    def __init__(self, address: str, times: PublishTimes) -> None:
        self._address = address
        self._times = times
        self._outage = Outage(times.report_every)
        self._failing: dict[Lane | Topic, BaseException] = {}
        self._ends_by_success = False

    def note_failure(self, failing: Lane | Topic, error: BaseException, now: float) -> None:
        """Note that a request of a topic, or of one of its ordering keys, failed."""
        self._outage.begin(now)
        self._failing[failing] = error

    def note_success(self, *recovered: Lane | Topic) -> None:
        """Note that a request was accepted."""
        for each in recovered:
            if self._failing.pop(each, None) is not None:
                self._ends_by_success = not self._failing

    def forget(self, idle: Lane | Topic) -> None:
        """Note that nothing waits there any more."""
        self._failing.pop(idle, None)

    def lines(self, now: float, waiting: int) -> list[Line]:
        """What to log now, if ``waiting`` messages have no outcome."""
        if not self._outage.is_ongoing:
            return []
        if not self._failing:
            seconds = self._outage.end(now)
            if seconds is None or not self._ends_by_success:
                return []
            text = "Pub/Sub at %s accepts messages again, after %.0f s; %d message(s) are waiting."
            return [Line(logging.INFO, text, (self._address, seconds, waiting))]
        seconds = self._outage.seconds(now)
        if seconds < self._times.outage_grace or not self._outage.should_report(now):
            return []
        return [self._report(seconds, waiting)]

    def next_line(self) -> float | None:
        """When the next line may be due; ``None`` while all is well."""
        return self._outage.next_report(self._times.outage_grace)

    def _report(self, seconds: float, waiting: int) -> Line:
        topics = sorted({_topic_of(each).name for each in self._failing})
        shown = ", ".join(topics[:3]) + (f" and {len(topics) - 3} more" if topics[3:] else "")
        reason = in_a_line(next(iter(self._failing.values())))
        text = (
            "Pub/Sub at %s has accepted no messages for the topic(s) %s for %.0f s; Relé keeps "
            "trying, and %d message(s) are waiting. The reason: %s."
        )
        return Line(logging.WARNING, text, (self._address, shown, seconds, waiting, reason))


def _topic_of(failing: Lane | Topic) -> Topic:
    return failing.topic if isinstance(failing, Lane) else failing
