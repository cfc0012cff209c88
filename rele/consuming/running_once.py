"""Ends a worker when it has handled what waited."""

from __future__ import annotations

import threading
import time
from typing import Any

from rele.consuming.control import Stoppable
from rele.consuming.ending_rule import EndingRule
from rele.declaration.hooks import no_io
from rele.runtime.in_use import IN_USE
from rele.status.providers import STATUS
from rele.status.snapshot import Phase

_LOOK_SECONDS = 0.1


class RunOnce:
    """Counts what a worker handles, and stops it when nothing waits any more.

    Args:
        rule: decides when that is.
    """

    def __init__(self, rule: EndingRule) -> None:
        self.rule = rule
        self._lock = threading.Lock()
        self._has_stopped = threading.Event()

    def take(self, worker: Stoppable) -> None:
        """Watch ``worker``, which has not begun."""
        self._worker = worker
        IN_USE.add_own_hooks(self)
        threading.Thread(target=self._watch, name="rele-run-once", daemon=True).start()

    @no_io
    def post_process_message_success(self, *_: Any) -> None:
        """The hook: count it."""
        with self._lock:
            self.rule.note_success()
        self._stop_if_over()

    @no_io
    def post_process_message_failure(
        self, subscription: Any, exception: BaseException, start_time: float, message: Any
    ) -> None:
        """The hook: count it."""
        with self._lock:
            self.rule.note_failure(message.message_id)
        self._stop_if_over()

    def _stop_if_over(self) -> None:
        if self.rule.is_over:
            self._stop()

    def _stop(self) -> None:
        self._has_stopped.set()
        self._worker.request_stop()

    def _watch(self) -> None:
        """The engine tells nobody when nothing arrives."""
        while not self._has_stopped.wait(_LOOK_SECONDS):
            snapshot = STATUS.snapshot()
            if snapshot.phase is not Phase.CONSUMING:
                continue
            received = sum(each.received for each in snapshot.subscriptions)
            outstanding = sum(each.outstanding for each in snapshot.subscriptions)
            if self.rule.is_quiet(time.monotonic(), received=received, outstanding=outstanding):
                self._stop()
