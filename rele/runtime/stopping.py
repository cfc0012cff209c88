"""Requesting a stop, by a signal or from another thread."""

from __future__ import annotations

import atexit
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

_SECOND_SIGNAL_AFTER = 1.0
"""Seconds: one Ctrl-C may arrive twice, from the terminal and from a parent process."""

_LONGEST_WAIT = 0.25
"""Seconds. Handlers of signals run in the main thread, but a signal may be delivered to another
thread, such as one that is just starting (one in eight, under load), which wakes nobody."""

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Those by which a person, a supervisor or a closing terminal stops a process."""

Result = TypeVar("Result")


def stop_signals(*names: str) -> list[signal.Signals]:
    """Those of ``names`` that this system has, without a SIGHUP that is ignored, as by ``nohup``.

    Args:
        names: by default :data:`STOP_SIGNALS`.
    """
    known = [signal.Signals[name] for name in names or STOP_SIGNALS if hasattr(signal, name)]
    return [
        each
        for each in known
        if each.name != "SIGHUP" or signal.getsignal(each) is not signal.SIG_IGN
    ]


def catch_stop_signals(handle: Callable[..., Any], *names: str) -> Callable[[], None]:
    """Call ``handle`` at each of ``stop_signals(*names)``, until what is returned is called.

    Python drops its signal handlers before the process has ended, and a signal would then change
    the exit status. So the last thing that it runs is that these signals are ignored.
    """
    signums = stop_signals(*names)
    ignore = partial(_ignore, signums, handle)
    # Early: what the program registers later may take long, and runs before.
    atexit.register(ignore)
    before = {signum: signal.signal(signum, handle) for signum in signums}

    def undo() -> None:
        atexit.unregister(ignore)
        for signum, handler in before.items():
            signal.signal(signum, handler)

    return undo


def _ignore(signums: list[signal.Signals], handle: Callable[..., Any]) -> None:
    for signum in signums:
        if signal.getsignal(signum) == handle:
            signal.signal(signum, signal.SIG_IGN)


class StopRequestedError(Exception):
    """A stop was requested while something was waited for."""


class StopRequest:
    """Asks whoever works in a loop to stop: like an Event, but one that a signal handler may set.

    A handler runs in the main thread, in the middle of anything. Were that the wait of an Event,
    the handler would wait for the Event's lock forever; ``SimpleQueue.put`` is reentrant.

    Args:
        before_abrupt_end: called once, when a second signal is about to end the process. It must
            not block, whatever the signal handler has interrupted.
    """

    def __init__(self, before_abrupt_end: Callable[[], object] = lambda: None) -> None:
        self._before_abrupt_end = before_abrupt_end
        self._is_by_signal = False
        self._is_ending = False
        self._requested_at: float | None = None
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def is_requested(self) -> bool:
        """Whether to stop."""
        return self._requested_at is not None

    @property
    def is_by_signal(self) -> bool:
        """Whether a signal has asked to stop, so that a second one ends the process at once."""
        return self._is_by_signal

    def request(self) -> None:
        """Ask to stop, from any thread; asking again changes nothing."""
        if self._requested_at is None:
            self._requested_at = time.monotonic()
        self._wake_ups.put(None)

    def request_by_signal(self) -> None:
        """Ask to stop, as a person or a supervisor does.

        Whoever asks again, a second or more later, does not want to wait any longer: then the
        process ends at once, with status 1.
        """
        requested_at = self._requested_at
        if requested_at is not None and time.monotonic() - requested_at >= _SECOND_SIGNAL_AFTER:
            if self._is_ending:
                return  # to the handler of an earlier signal, which this one has interrupted
            self._is_ending = True
            self._before_abrupt_end()
            os._exit(1)
        self._is_by_signal = True
        self.request()

    def allow_to_end(self) -> None:
        """Give the process, whose work is done, another second before a signal ends it at once."""
        if self._requested_at is not None:
            self._requested_at = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait until a stop is requested, but no longer than ``seconds``; return whether it is."""
        deadline = time.monotonic() + seconds
        while not self.is_requested and (left := deadline - time.monotonic()) > 0:
            self._await_wake_up(left)
        return self.is_requested

    def run_unless_stopped(self, function: Callable[[], Result]) -> Result:
        """Call ``function`` in a thread, since what waits for a server may take minutes.

        Raises:
            StopRequestedError: a stop was requested before it returned. Its thread, which goes on,
                does not keep the process from ending.
        """
        outcome: Future[Result] = Future()
        thread = threading.Thread(target=_complete, args=(outcome, function), daemon=True)
        outcome.add_done_callback(lambda outcome: self._wake_ups.put(None))
        if not self.is_requested:
            thread.start()
        while not outcome.done():
            if self.is_requested:
                raise StopRequestedError
            self._await_wake_up(_LONGEST_WAIT)
        return outcome.result()

    def _await_wake_up(self, seconds: float) -> None:
        with suppress(queue.Empty):
            self._wake_ups.get(timeout=min(seconds, _LONGEST_WAIT))


def _complete(outcome: Future[Result], function: Callable[[], Result]) -> None:
    try:
        outcome.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        outcome.set_exception(error)
