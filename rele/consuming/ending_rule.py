"""When a worker that handles only what waits has handled it. No clock, no thread."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class EndingRule:
    """Decides when the worker of one subscription ends.

    All times are in seconds of one clock. The caller holds a lock.
    """

    quiet_seconds: float
    """After so many seconds without a message, nothing waits any more."""
    most: int | None = None
    """The worker ends after so many messages; ``None``: only when none waits."""
    handled: int = 0
    failed: int = 0
    _failed_ids: set[str] = field(default_factory=set)
    _received: int = 0
    _quiet_since: float | None = None
    _fails_again: bool = False

    @property
    def is_over(self) -> bool:
        """Whether enough was handled, or a message has failed a second time."""
        done = self.handled + self.failed
        return self._fails_again or (self.most is not None and done >= self.most)

    def note_success(self) -> None:
        """A message was handled."""
        self.handled += 1

    def note_failure(self, message_id: str) -> None:
        """A message has failed. Without a pause, Pub/Sub would redeliver it without end."""
        self.failed += 1
        self._fails_again |= message_id in self._failed_ids
        self._failed_ids.add(message_id)

    def is_quiet(self, now: float, *, received: int, outstanding: int, is_open: bool) -> bool:
        """Whether nothing was received for long enough, and nothing is outstanding.

        Args:
            now: the time.
            received: how many messages the worker has received since its start.
            outstanding: how many of these are not settled.
            is_open: whether Pub/Sub could send messages to it: if not, nothing is known.
        """
        if self._quiet_since is None or outstanding or not is_open or received != self._received:
            self._received, self._quiet_since = received, now
        return now - self._quiet_since >= self.quiet_seconds
