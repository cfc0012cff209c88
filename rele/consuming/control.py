"""What ends a worker beside signals: its supervisor, or that it has handled enough."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from rele.declaration.hooks import no_io
from rele.exceptions import ConfigurationError
from rele.runtime.in_use import IN_USE
from rele.runtime.memory import resident_bytes
from rele.runtime.recycling_rule import RecyclingRule
from rele.runtime.worker_process import WorkerProcess

logger = logging.getLogger(__name__)


class Stoppable(Protocol):
    """The part of a :class:`rele.worker.Worker` that this module uses."""

    def request_stop(self, *, unhurried: bool = False) -> None: ...
    def end_at_once(self) -> None: ...


class WorkerControl:
    """Stops one worker when its supervisor says so, or when it is to be recycled.

    Args:
        process: this process, if a supervisor has started it.
        rule: when the worker is to be recycled.
        end_rooms: ends what the rooms run beside the worker, which the next process begins.
    """

    def __init__(
        self, process: WorkerProcess | None, rule: RecyclingRule, end_rooms: Callable[[], None]
    ) -> None:
        self._process = process
        self._rule = rule
        self._end_rooms = end_rooms
        self._lock = threading.Lock()

    def take(self, worker: Stoppable) -> None:
        """Control ``worker``, which has not begun.

        Raises:
            ConfigurationError: it would be recycled at once, by the memory that it uses already.
        """
        if excess := self._rule.excess(resident_bytes(), " before its first message"):
            raise ConfigurationError(f"No worker can run: {excess}. Raise --max-rss.")
        self._worker = worker
        if self._process is not None:
            self._process.obey(
                {
                    "stop": worker.request_stop,
                    "recycle": self._retire,
                    "end": worker.end_at_once,
                    "alone": self._stop_alone,
                }
            )
        if self._rule.is_set:
            IN_USE.add_own_hooks(self)

    @no_io
    def post_process_message(self) -> None:
        """The hook: after a message, see whether the worker is to be recycled."""
        with self._lock:
            reason = self._rule.note_message(time.monotonic(), resident_bytes)
        if reason is None:
            return
        if self._process is not None:
            self._process.tell("due", reason)  # it answers when the other workers pull
        else:
            logger.info("The worker stops gracefully: %s.", reason)
            self._worker.request_stop(unhurried=True)

    def _stop_alone(self) -> None:
        logger.warning("The supervisor of this worker has ended: the worker stops gracefully.")
        self._worker.request_stop()

    def _retire(self) -> None:
        assert self._process is not None, "only a supervisor sends this command"
        try:
            self._end_rooms()
        except Exception:
            logger.exception("What runs beside the worker has not ended; its successor begins.")
        self._process.tell("retired")
        self._worker.request_stop(unhurried=True)
