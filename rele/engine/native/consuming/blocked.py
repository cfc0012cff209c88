"""Whether a thread could not run, and which other thread kept it from that. No clock, no thread."""

from __future__ import annotations

from collections.abc import Mapping

_MAIN_PART = 0.2
"""The part of that time for which the thread that blocked the others has used the processor, at
least: on a busy machine it does not get all of it."""


class BlockedWatch:
    """Notices that an event loop did not run although it had to.

    Args:
        longest: seconds that are not worth mentioning.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._last: float | None = None

    def note(self, now: float, allowed: float = 0.0) -> float:
        """Note that the loop runs.

        Args:
            now: the time.
            allowed: for how many seconds it may have waited for events since the last call.

        Returns:
            for how many seconds it did not run; 0 if that is not worth mentioning.
        """
        last, self._last = self._last, now
        late = 0.0 if last is None else now - last - allowed
        return late if late >= self._longest else 0.0

    def skip(self, now: float) -> None:
        """Do not count the time until ``now``, in which the loop waited for something else."""
        self._last = now


def busiest(before: Mapping[int, float], after: Mapping[int, float], seconds: float) -> int | None:
    """The thread that used the processor for most of the last ``seconds``.

    Args:
        before: seconds of the processor that each thread had used then, by its identity.
        after: the same for now.
        seconds: the time between.
    """
    used = {thread: after[thread] - before.get(thread, 0.0) for thread in after}
    thread = max(used, key=lambda each: used[each], default=None)
    return thread if thread is not None and used[thread] >= seconds * _MAIN_PART else None
