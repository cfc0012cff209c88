"""The shutdown of a worker, step by step, and the end of its process."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol

from rele import publishing
from rele.declaration.subscription import Subscription
from rele.engine.base import Consumer
from rele.middleware import run_middleware_hook
from rele.runtime.waiting import reported_if_long

logger = logging.getLogger(__name__)

_CLOSE_TIMEOUT = 1.0
_CLOSE_TIMEOUT_UNAVAILABLE = 0.2
"""Seconds; the second one while Pub/Sub is unavailable."""

_CHECK_SECONDS = 0.1
"""The interval of the checks whether handlers still run, where nobody is in a hurry."""

_LAST_WORDS_TIMEOUT = 1.0
"""Seconds."""


class Connected(Protocol):
    """The part of a :class:`rele.client.Subscriber` that the shutdown uses."""

    @property
    def is_unavailable(self) -> bool: ...
    def close(self) -> None: ...


class Stoppable(Protocol):
    """An object that runs in the background until it is stopped."""

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Patience:
    """How long a stop may take that nobody waits for."""

    seconds: float
    """At most; after that the messages of handlers that still run are redelivered anyway."""
    wait_for_hurry: Callable[[float], bool]
    """Waits for that many seconds at most; returns whether somebody waits for the stop now."""


@dataclass(frozen=True)
class Shutdown:
    """The graceful shutdown of a worker."""

    subscriptions: Sequence[Subscription]
    """The subscriptions that the worker consumes."""
    consumers: Sequence[Consumer]
    topic_watch: Stoppable | None
    connection: Connected
    """The connection that the consumers use."""
    timeout: float
    """Seconds that running handlers have to finish."""
    is_by_signal: bool = False
    """Whether a second signal ends the process at once."""
    patience: Patience | None = None
    """How long running handlers may take before ``timeout`` begins, if nobody is in a hurry."""

    def run(self) -> int:
        """Shut down; return how many handlers still run when the timeout is over.

        A step that fails is logged, and the others follow.
        """
        # 1. The middleware is notified first, while everything that it may use still works.
        run_middleware_hook("pre_worker_stop", self.subscriptions)

        # 2. The check for deleted topics stops: its reports are of no use any more.
        if self.topic_watch is not None:
            take_step(self.topic_watch.stop)

        # 3. Consuming ends: no more handlers start, waiting messages are nacked, so that another
        #    worker gets them at once, and running handlers finish. Acks need the connection.
        still_running = drain(
            self.consumers, self.timeout, is_by_signal=self.is_by_signal, patience=self.patience
        )

        # 4. The connection is closed only after the last ack was sent.
        self._close_connection()

        # 5. Published messages are sent, after the last handler, which may have published.
        with reported_if_long(_report_flush):
            take_step(publishing.flush)

        # 6. The middleware cleans up last: nothing uses databases any more, which it may close.
        run_middleware_hook("post_worker_stop")
        return still_running

    def _close_connection(self) -> None:
        """Close the connection, unless that takes long: the end of the process closes it as well.

        Closing waits for the running calls of Google's client.
        """
        closing = threading.Thread(target=take_step, args=(self.connection.close,), daemon=True)
        take_step(closing.start)
        if closing.is_alive():
            unavailable = self.connection.is_unavailable
            closing.join(_CLOSE_TIMEOUT_UNAVAILABLE if unavailable else _CLOSE_TIMEOUT)


def drain(
    consumers: Sequence[Consumer],
    timeout: float,
    *,
    is_by_signal: bool = False,
    patience: Patience | None = None,
) -> int:
    """End all consumers; return how many handlers still run after ``timeout`` seconds.

    Args:
        consumers: all consumers of the worker.
        timeout: seconds.
        is_by_signal: whether a second signal ends the process at once; if so, the log says this.
        patience: how long handlers may run before the ``timeout`` begins.
    """
    advice = " A second signal, such as Ctrl-C, ends the process at once." if is_by_signal else ""

    def report() -> None:
        if running := number_running(consumers):
            logger.info(
                "Waiting up to %s s for %d running handler(s) to finish.%s",
                timeout,
                running,
                advice,
            )

    deadline = time.monotonic() + (timeout if patience is None else patience.seconds)
    # Drain all consumers before joining the first, so that they end at the same time.
    for consumer in consumers:
        consumer.drain(deadline)
    if patience is not None:
        _await_handlers(consumers, deadline, patience)
        deadline = time.monotonic() + timeout
    with reported_if_long(report):
        return sum(consumer.join(deadline) for consumer in consumers)


def _await_handlers(consumers: Sequence[Consumer], deadline: float, patience: Patience) -> None:
    while number_running(consumers) and time.monotonic() < deadline:
        if patience.wait_for_hurry(_CHECK_SECONDS):
            return


def number_running(consumers: Sequence[Consumer]) -> int:
    """How many handlers are running."""
    return sum(consumer.running for consumer in consumers)


def take_step(finish: Callable[[], object]) -> None:
    """Call ``finish`` and log an error, so that the next steps follow."""
    try:
        finish()
    except Exception:
        logger.exception("A step of the shutdown failed; the next ones follow.")


def end_process(still_running: int, timeout: float) -> NoReturn:
    """End the process with status 0, or at once with status 1 if handlers are still running.

    Args:
        still_running: how many handlers are still running.
        timeout: how many seconds they had to finish.

    Raises:
        SystemExit: with status 0.
    """
    if still_running:
        # sys.exit() would wait for the threads of these handlers.
        _say_last_words(
            logging.ERROR,
            "%d handler(s) still ran after %s s and are abandoned: their messages will be "
            "redelivered.",
            still_running,
            timeout,
        )
        os._exit(1)
    sys.exit(0)


def report_abrupt_end(consumers: Sequence[Consumer]) -> None:
    """Log which handlers are abandoned by the end of the process at a second signal."""
    if running := number_running(consumers):
        _say_last_words(
            logging.ERROR,
            "A second signal ends the process at once: %d running handler(s) are abandoned, and "
            "their messages will be redelivered.",
            running,
        )
    else:
        _say_last_words(
            logging.WARNING, "A second signal ends the process at once. No handler is running."
        )


def _say_last_words(level: int, text: str, *args: object) -> None:
    """Log in a thread of its own: the output may block, but the process must end."""
    speaking = threading.Thread(target=_log_and_flush, args=(level, text, *args), daemon=True)
    take_step(speaking.start)
    if speaking.is_alive():
        speaking.join(_LAST_WORDS_TIMEOUT)


def _log_and_flush(level: int, text: str, *args: object) -> None:
    logger.log(level, text, *args)
    for flush in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        with suppress(Exception):
            flush()


def _report_flush() -> None:
    logger.info("Waiting for Pub/Sub to accept the published messages.")
