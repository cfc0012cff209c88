"""Noticing that Pub/Sub does not answer, and that it does again: one line for all streams."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from rele.endpoint import what_to_check
from rele.engine.outages import Trouble, in_a_line

logger = logging.getLogger(__name__)

GRACE = 2.0
"""Seconds of trouble before a word is said: Pub/Sub ends streams now and then."""

SETTLED = 30.0
"""Seconds after which a stream that has not failed counts as accepted.

Google's client opens a failing stream five times at once, and then again after 10 s; and an
attempt for which it gets no token fails after 15 s.
"""

_AT_ONCE = 1.0
"""Seconds within which streams fail for one cause, such as a lost connection."""

_CONFIRMED = 1.0
"""Seconds for which a connection that was made must hold."""

_END_TIMEOUT = 1.0
"""Seconds."""

_TICK = 0.25
"""Seconds between two looks, while something is wrong."""


class Availability:
    """Whether Pub/Sub answers the streams of one client.

    Google's client opens a failing stream again in silence, for as long as it takes. What it
    does is seen here from below: each stream that ends is told, and as long as something is
    wrong the state of the connection is followed. When all is well, nothing runs.

    Args:
        address: the server's, for the log.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: Any = None
        self._changed = threading.Condition()
        self._trouble = Trouble(logger)
        self._connected_at: float | None = None
        self._failed_at = self._refused_at = float("-inf")
        self._reason = ""
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_away(self) -> bool:
        """Whether streams fail now, or the connection is lost."""
        return self._trouble.has_begun

    def watch(self, channel: Any) -> None:
        """Follow the state of that gRPC channel when something is wrong."""
        self._channel = channel

    def note_failure(self, age: float, reason: str) -> None:
        """Take note that a stream has ended by an error after ``age`` seconds.

        An old one may have been ended for its age; a young one was not accepted.
        """
        with self._changed:
            if self._is_closed:
                return
            begins = not self._trouble.has_begun
            self._trouble.begin()
            if begins:
                self._connected_at = None
                self._thread = threading.Thread(
                    target=self._follow, name="rele-availability", daemon=True
                )
                self._thread.start()
            if age < SETTLED:
                self._note_young(reason)

    def _note_young(self, reason: str) -> None:
        """It was refused if the connection stands, or if another one has failed a while ago."""
        now = time.monotonic()
        if self._connected_at is not None or _AT_ONCE <= now - self._failed_at < SETTLED:
            self._refused_at = now
            self._reason = in_a_line(reason)
        self._failed_at = now

    def close(self) -> None:
        """Say nothing more, and end what follows the connection, before that is closed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_END_TIMEOUT)

    def _follow(self) -> None:
        self._channel.subscribe(self._note_state, try_to_connect=True)
        with self._changed:
            while not self._is_over() and not self._is_closed:
                self._report()
                self._changed.wait(_TICK)
            if not self._is_closed:
                over_at = max(self._connected_at or 0.0, self._refused_at)
                self._trouble.end(
                    "Pub/Sub at %s answers again, after %.0f s.", self._address, at=over_at
                )
        self._channel.unsubscribe(self._note_state)

    def _note_state(self, state: Any) -> None:
        with self._changed:
            if state.name != "READY":
                self._connected_at = None
                self._refused_at = float("-inf")  # the connection was lost
            elif self._connected_at is None:
                self._connected_at = time.monotonic()

    def _is_over(self) -> bool:
        return (
            self._connected_at is not None
            and time.monotonic() - self._connected_at >= _CONFIRMED
            and not self._is_refused()
        )

    def _is_refused(self) -> bool:
        return time.monotonic() - self._refused_at < SETTLED

    def _report(self) -> None:
        if self._trouble.seconds < GRACE:
            return
        if self._connected_at is None:
            what = "cannot be reached"
            why = f"what can be done: {what_to_check(self._address)}"
        elif self._is_refused():
            what, why = "cannot be used", f"the reason: {self._reason}"
        else:
            return
        self._trouble.tell(
            logging.WARNING,
            "Pub/Sub at %s %s, for %.0f s now; Relé goes on trying, and messages wait there; %s",
            self._address,
            what,
            self._trouble.seconds,
            why,
        )
