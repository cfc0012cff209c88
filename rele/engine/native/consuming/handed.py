"""What was handed to handlers that have not returned. No clock, no thread."""

from __future__ import annotations

from rele.engine.native.consuming.delivery import Delivery

_SOON = 0.2
"""Seconds within which a handler that blocks others may have begun to."""


class Handed(set[Delivery]):
    """The deliveries that are to be handled, or are being handled.

    One thread changes it, and any thread may ask.
    """

    def of_thread(self, thread_id: int | None, at: float) -> Delivery | None:
        """What the handler in that thread had last begun with at the time ``at``."""
        return max(
            (
                each
                for each in self
                if each.thread_id == thread_id and (each.begun_at or at + 1) <= at + _SOON
            ),
            key=lambda each: each.begun_at or 0.0,
            default=None,
        )

    def longest_running(self, now: float) -> float:
        """For how many seconds the handler has been running that began first; 0 without any."""
        begun = [at for each in self.copy() if (at := each.begun_at) is not None]
        return max(now - min(begun, default=now), 0.0)
