"""Saying that something does not work without filling the log."""

from __future__ import annotations

import logging
import time

REPORT_EVERY = 60.0
"""Seconds between two lines about the same trouble."""


class Trouble:
    """One thing that does not work for a while.

    Whoever uses it from several threads holds a lock of its own.

    Args:
        logger: where it is said.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._since: float | None = None
        self._told_at = float("-inf")
        self._is_told = False

    @property
    def has_begun(self) -> bool:
        """Whether it lasts."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """For how long it has lasted."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def begin(self) -> None:
        """Count from now, unless it has begun already."""
        if self._since is None:
            self._since = time.monotonic()
            self._is_told = False

    def tell(self, level: int, text: str, *arguments: object) -> None:
        """Log ``text``, unless the last line about it is younger than ``REPORT_EVERY``.

        That counts across troubles: what comes and goes all the time is said once a minute too.
        """
        now = time.monotonic()
        if now - self._told_at >= REPORT_EVERY:
            self._told_at = now
            self._is_told = True
            self._logger.log(level, text, *arguments)

    def end(self, text: str, *arguments: object, at: float) -> None:
        """It was over at the time ``at``: log ``text`` with the seconds, if its begin was told.

        ``at`` is in seconds of ``time.monotonic()``.
        """
        if self._is_told and self._since is not None:
            self._logger.info(text, *arguments, max(at - self._since, 0.0))
        self._since = None
        self._is_told = False


def in_a_line(reason: object) -> str:
    """The text of an error, which may have several lines."""
    return " ".join(str(reason).split()).rstrip(".")
