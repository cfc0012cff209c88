"""Letting a process fork while it publishes.

gRPC prepares itself for a fork, but not while another thread is within one of its calls: then the
child's gRPC is broken, and its first publish hangs ("Other threads are currently calling into
gRPC, skipping fork() handlers"). So calls are counted, and a fork waits for those under way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

LONGEST_WAIT = 1.0
"""Seconds that a fork waits for calls under way: an unavailable server must not delay it."""


class ForkGate:
    """Counts the calls under way, and holds up new ones while the process forks.

    Args:
        longest_wait: seconds that a fork waits for calls under way.
    """

    def __init__(self, longest_wait: float = LONGEST_WAIT) -> None:
        self._longest_wait = longest_wait
        self.renew()

    def renew(self) -> None:
        """Begin anew, as in a child, where the threads with calls under way do not exist."""
        self._changed = threading.Condition()
        self._under_way = 0
        self._is_forking = False

    def guard(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap ``call`` so that no fork happens in the middle of it."""

        def guarded(*args: Any, **kwargs: Any) -> Any:
            with self._changed:
                self._changed.wait_for(lambda: not self._is_forking)
                self._under_way += 1
            try:
                return call(*args, **kwargs)
            finally:
                with self._changed:
                    self._under_way -= 1
                    self._changed.notify_all()

        return guarded

    def close(self) -> None:
        """Hold up new calls, and wait for those under way."""
        with self._changed:
            self._is_forking = True
            self._changed.wait_for(lambda: not self._under_way, self._longest_wait)

    def open(self) -> None:
        """Let the calls go on."""
        with self._changed:
            self._is_forking = False
            self._changed.notify_all()


gate = ForkGate()

if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.renew)
