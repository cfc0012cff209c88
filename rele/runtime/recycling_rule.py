"""When a process has handled enough messages, or uses too much memory. No clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_MEGABYTE = 1024 * 1024

_CHECK_SECONDS = 0.1
"""The shortest interval of the checks of the memory: each costs as much as a fast message."""


@dataclass
class RecyclingRule:
    """Decides after each message whether the process is to be replaced.

    Not thread-safe: the caller holds a lock.
    """

    max_messages: int | None = None
    max_rss: int | None = None
    """In bytes."""
    _handled: int = 0
    _check_at: float = 0.0
    _is_due: bool = False

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return self.max_messages is not None or self.max_rss is not None

    def note_message(self, now: float, resident: Callable[[], int]) -> str | None:
        """Note that a message was handled.

        Args:
            now: in seconds of any clock.
            resident: tells the memory of this process, in bytes.

        Returns:
            why the process is to be replaced, once; ``None`` for all other messages.
        """
        self._handled += 1
        reason = None if self._is_due else self._reason(now, resident)
        self._is_due = self._is_due or reason is not None
        return reason

    def _reason(self, now: float, resident: Callable[[], int]) -> str | None:
        if self.max_messages is not None and self._handled >= self.max_messages:
            return f"it has handled {self._handled} message(s) (--max-messages)"
        if self.max_rss is not None and now >= self._check_at:
            self._check_at = now + _CHECK_SECONDS
            return self.excess(resident(), f" after {self._handled} message(s)")
        return None

    def excess(self, resident: int, when: str = "") -> str | None:
        """By how much a process with ``resident`` bytes is too large; ``None`` if it is not."""
        if self.max_rss is None or resident <= self.max_rss:
            return None
        used, allowed = resident // _MEGABYTE, self.max_rss / _MEGABYTE
        return f"it uses {used} MiB of memory{when}, and --max-rss allows {round(allowed, 1):g} MiB"
