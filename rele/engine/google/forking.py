"""Letting a process fork while it publishes.

gRPC prepares itself for a fork, except while another thread is in a gRPC call: then gRPC does not
work in the child, and the first publish hangs ("Other threads are currently calling into gRPC,
skipping fork() handlers"). So calls are counted, and a fork waits for the running calls.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

LONGEST_WAIT = 1.0
"""Seconds that a fork waits for running calls: an unavailable server must not delay it longer."""


class ForkGate:
    """Counts the running calls, and delays new calls while the process forks.

    Args:
        longest_wait: seconds that a fork waits for running calls.
    """

    def __init__(self, longest_wait: float = LONGEST_WAIT) -> None:
        self._longest_wait = longest_wait
        self.renew()

    def renew(self) -> None:
        """Begin anew in a child, where the threads with running calls do not exist."""
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
        """Delay new calls, and wait for the running calls."""
        with self._changed:
            self._is_forking = True
            self._changed.wait_for(lambda: not self._under_way, self._longest_wait)

    def open(self) -> None:
        """Let delayed and new calls run."""
        with self._changed:
            self._is_forking = False
            self._changed.notify_all()


gate = ForkGate()

if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.renew)
