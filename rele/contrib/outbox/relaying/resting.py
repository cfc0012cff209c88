"""Which topics a relay leaves alone for a while. No clock, no database."""

from __future__ import annotations

from collections.abc import Iterable

from rele.engine.failures import was_retried

REST = 10.0
"""Seconds for which a topic rests: longer than a batch waits for it, so that others come first."""


class RestingTopics:
    """The topics that were unavailable for as long as their messages are retried.

    Each batch with a message for such a topic lasts that long, and so do all its other messages.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note_failures(self, failures: Iterable[tuple[str, BaseException]], now: float) -> None:
        """Let the topics rest whose messages were retried in vain."""
        for topic, error in failures:
            if was_retried(error):
                self._until[topic] = now + REST

    def at(self, now: float) -> list[str]:
        """The topics that rest at the time ``now``."""
        self._until = {topic: until for topic, until in self._until.items() if until > now}
        return sorted(self._until)
