"""Pausing subscriptions, and changing their threads, as somebody asks while the worker runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from rele.engine.base import Consumer
from rele.engine.outage_reports import in_a_line
from rele.engine.threads import start_thread
from rele.status.controls import ReadControls, SubscriptionControl

logger = logging.getLogger(__name__)

READ_EVERY = 2.0
"""Seconds from one reading to the next."""

FIRST_WITHIN = 5.0
"""Seconds that the first reading may take before the worker begins to consume without it."""

_AS_CONFIGURED = SubscriptionControl()


class RemoteControl:
    """Reads every few seconds what is asked of subscriptions, in one thread, and does it.

    While it cannot be read, what was read last counts. Nothing is paused that never was.

    Args:
        readers: of what is asked; of two that name a subscription the later one counts.
        read_every: seconds.
    """

    def __init__(self, readers: Sequence[ReadControls], read_every: float = READ_EVERY) -> None:
        self._readers = readers
        self._read_every = read_every
        self._consumers: Mapping[str, tuple[Consumer, int]] = {}
        self._done: dict[str, SubscriptionControl] = {}
        """What was done last, by subscription."""
        self._is_failing = False
        self._has_read = threading.Event()
        self._is_ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether it reads what is asked."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, consumers: Mapping[str, tuple[Consumer, int]]) -> None:
        """Do what is asked now, and from now on; return once it is done for the first time.

        Where it cannot be read soon, this returns nevertheless.

        Args:
            consumers: by the names of their subscriptions, each with its configured threads; they
                are not open yet.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        if not self._readers:
            return
        self._consumers = consumers
        self._thread = start_thread("rele-remote-control", self._run)
        self._has_read.wait(FIRST_WITHIN)

    def end(self) -> None:
        """Do nothing more. Does not wait."""
        self._is_ended.set()

    def _run(self) -> None:
        while not self._is_ended.is_set():
            self._step()
            self._has_read.set()
            self._is_ended.wait(self._read_every)

    def _step(self) -> None:
        try:
            asked = self._read()
        except Exception as error:  # noqa: BLE001 - whatever a room's reader raises
            self._note_failure(error)
            return
        if self._is_failing:
            self._is_failing = False
            logger.info("What is asked of the subscriptions can be read again.")
        for name, (consumer, threads) in self._consumers.items():
            self._do(name, consumer, threads, asked.get(name, _AS_CONFIGURED))

    def _read(self) -> Mapping[str, SubscriptionControl]:
        return {name: one for read in self._readers for name, one in read().items()}

    def _note_failure(self, error: Exception) -> None:
        """Log the first failure in a row."""
        if not self._is_failing:
            self._is_failing = True
            logger.warning(
                "Whether subscriptions are paused, or their threads changed, cannot be read: %s. "
                "They stay as they are; Relé keeps trying.",
                in_a_line(error) or repr(error),
            )

    def _do(self, name: str, consumer: Consumer, threads: int, asked: SubscriptionControl) -> None:
        done = self._done.get(name, _AS_CONFIGURED)
        if asked == done or self._is_ended.is_set():
            return
        try:
            if asked.threads != done.threads:
                consumer.set_threads(asked.threads or threads)
                logger.info("%s handles %d at a time.", name, asked.threads or threads)
            if asked.is_paused and not done.is_paused:
                consumer.pause()
                logger.info("%s is paused: its streams are closed until it is resumed.", name)
            elif done.is_paused and not asked.is_paused:
                consumer.resume()
                logger.info("%s is resumed.", name)
        except Exception:
            logger.exception("%s could not be paused, resumed or changed. It is tried again.", name)
        else:
            self._done[name] = asked
