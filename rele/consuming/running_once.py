"""Ends a worker when it has handled what waited."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from rele.consuming.control import Stoppable
from rele.consuming.ending_rule import EndingRule
from rele.declaration.hooks import no_io
from rele.runtime.in_use import IN_USE
from rele.status.providers import STATUS
from rele.status.snapshot import Phase, SubscriptionStatus

_LOOK_SECONDS = 0.1

_LONGEST_REFUSAL = 60.0
"""Seconds: Pub/Sub may be unavailable for a moment, and a job of cron is not to wait for ever."""


class StoppableBySignal(Stoppable, Protocol):
    """The part of a :class:`rele.worker.Worker` that this module uses."""

    @property
    def stopped_by(self) -> int | None: ...


class RunOnce:
    """Counts what a worker handles, and stops it when nothing waits any more.

    Args:
        rule: decides when that is.
    """

    def __init__(self, rule: EndingRule) -> None:
        self.rule = rule
        self.refusal: str | None = None
        """Why no stream could be opened for so long that it has ended therefore."""
        self.is_quiet = False
        """Whether it has ended because nothing was received any more."""
        self._lock = threading.Lock()
        self._has_stopped = threading.Event()

    @property
    def stopped_by(self) -> int | None:
        """The number of the signal that has stopped the worker before all was handled."""
        return None if self._has_stopped.is_set() else self._worker.stopped_by

    def take(self, worker: StoppableBySignal) -> None:
        """Watch ``worker``, which has not begun."""
        self._worker = worker
        IN_USE.add_own_hooks(self)
        threading.Thread(target=self._watch, name="rele-run-once", daemon=True).start()

    @no_io
    def post_process_message_success(
        self, subscription: Any, start_time: float, message: Any
    ) -> None:
        """The hook: count it; what the handler has nacked itself is redelivered as if failed."""
        with self._lock:
            if message.settled_as in ("nack", "drop"):
                self.rule.note_failure(message.message_id)
            else:
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
            refused = [
                each
                for each in snapshot.subscriptions
                if (each.refused_for or 0) >= _LONGEST_REFUSAL
            ]
            if refused:
                self.refusal = refused[0].refusal
                self._stop()
            elif snapshot.phase is Phase.CONSUMING and self._is_quiet(snapshot.subscriptions):
                self.is_quiet = True
                self._stop()

    def _is_quiet(self, subscriptions: Sequence[SubscriptionStatus]) -> bool:
        return self.rule.is_quiet(
            time.monotonic(),
            received=sum(each.received for each in subscriptions),
            outstanding=sum(each.outstanding for each in subscriptions),
            is_open=all(each.streams or each.is_paused for each in subscriptions),
        )
