"""When a failed request is sent again. No clock, no thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What a failure means for the messages of its request."""

    PASSING = auto()
    """Pub/Sub is unavailable or busy: the request is sent again."""
    EXHAUSTED = auto()
    """A quota is used up: the request is sent again, after a longer pause."""
    INVALID = auto()
    """A message is not valid, perhaps only one of them: the request is divided."""
    FINAL = auto()
    """None of its messages will ever be accepted."""


@dataclass(frozen=True)
class Failure:
    """Why a request was not accepted."""

    kind: Kind
    error: BaseException
    """What the futures of its messages get, if it is final."""


@dataclass(frozen=True)
class PublishTimes:
    """The durations of the publisher, in seconds unless stated otherwise; tests shorten them."""

    first_pause: float = 0.1
    """The longest pause after the first failure; it doubles with each further one."""
    first_pause_exhausted: float = 1.0
    """The same if a quota is used up."""
    longest_pause: float = 5.0
    """The longest pause after any number of failures."""
    wake_within: float = 1.0
    """When a connection is back, all topics are tried again within this time, at random: otherwise
    all processes of a fleet would send at once."""
    attempt: float = 60.0
    """The timeout of an attempt, unless its bytes need longer."""
    bytes_per_second: float = 100_000.0
    """The slowest connection, in bytes per second, on which an attempt can succeed."""
    report_every: float = 60.0
    """The interval of the log lines about an outage."""
    outage_grace: float = 2.0
    """How long an outage lasts before it is reported."""

    def of_attempt(self, size: int) -> float:
        """The seconds that an attempt to send ``size`` bytes may take."""
        return max(self.attempt, size / self.bytes_per_second)


class Backoff:
    """The pauses between failed attempts: random, and longer after each (full jitter).

    See M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, times: PublishTimes, random: Callable[[], float]) -> None:
        self._times = times
        self._random = random
        self._failures = 0
        self._failed_at = float("-inf")
        self._is_exhausted = False
        self.until = float("-inf")
        """Until when to wait."""

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def note_failure(self, now: float, sent_at: float, *, is_exhausted: bool) -> None:
        """Begin a pause.

        Requests that were under way together fail together: only one sent after the last failure
        makes the pause longer.
        """
        if sent_at <= self._failed_at:
            return
        times = self._times
        first = times.first_pause_exhausted if is_exhausted else times.first_pause
        longest = min(first * 2.0**self._failures, times.longest_pause)
        # A quota that is used up needs at least half of the pause.
        shortest = longest / 2 if is_exhausted else 0.0
        self.until = now + shortest + self._random() * (longest - shortest)
        self._failed_at = now
        self._is_exhausted = is_exhausted
        self._failures = min(self._failures + 1, 32)

    def note_success(self) -> None:
        """End the pause, and begin with the shortest next time."""
        self._failures = 0
        self.until = float("-inf")

    def wake(self, now: float) -> None:
        """Shorten the pause, since the server can be reached again; not that of a used-up quota."""
        if self._is_exhausted:
            return
        self.until = min(self.until, now + self._random() * self._times.wake_within)
