"""Requesting a stop, by a signal or from another thread."""

from __future__ import annotations

import atexit
import math
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

from rele.runtime.main_thread import LONGEST_WAIT, main_thread_wait

SECOND_SIGNAL_AFTER = 1.0
"""Seconds: one Ctrl-C may arrive twice, from the terminal and from a parent process."""

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""The signals by which a person, a supervisor or a closing terminal stops a process."""

Result = TypeVar("Result")


def stop_signals(*names: str) -> list[signal.Signals]:
    """The signals in ``names`` that this system has, without a SIGHUP that ``nohup`` ignores.

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
    """Call ``handle`` at each of ``stop_signals(*names)``; return a function that undoes this.

    Python removes its signal handlers before the process has ended, and a signal after that would
    change the exit status. So these signals are ignored once the exit handlers have run.
    """
    signums = stop_signals(*names)
    ignore = partial(_ignore, signums, handle)
    # Exit handlers run in reverse order: those registered later, which may take long, run before.
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
    """A stop was requested during a wait."""


class StopRequest:
    """A request to end a loop: like an Event, but safe to set in a signal handler.

    A signal handler may interrupt the main thread anywhere. If it interrupted ``Event.wait`` and
    set the Event, it would wait for ever for the lock that the interrupted call holds.
    ``SimpleQueue.put`` is reentrant.

    Args:
        before_abrupt_end: called once, when a second signal is about to end the process. It must
            not block, because the signal handler may have interrupted a holder of any lock.
    """

    def __init__(self, before_abrupt_end: Callable[[], object] = lambda: None) -> None:
        self._before_abrupt_end = before_abrupt_end
        self._is_requested = False
        self._is_unhurried = False
        self._is_ending = False
        self._signalled_at: float | None = None
        self.signal: int | None = None
        """The number of the signal that has requested the stop, where it was passed on."""
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        main_thread_wait()  # made now, and not while a signal handler interrupts its making

    @property
    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self._is_requested or self._is_unhurried

    @property
    def is_hurried(self) -> bool:
        """Whether a stop was requested for which running handlers have a limited time only."""
        return self._is_requested

    @property
    def is_by_signal(self) -> bool:
        """Whether a signal requested the stop, so that a second signal ends the process at once."""
        return self._signalled_at is not None

    def request(self) -> None:
        """Request a stop, from any thread. A further request changes nothing."""
        self._is_requested = True
        self._wake()

    def request_unhurried(self) -> None:
        """Request a stop for which there is time until :meth:`request` follows, if ever."""
        self._is_unhurried = True
        self._wake()

    def request_by_signal(self, signum: int | None = None) -> None:
        """Request a stop in a signal handler, which got ``signum``.

        A further signal, a second or more later, ends the process at once with status 1. A stop
        that was requested otherwise does not count as the first signal: whoever sends one may not
        know of it.
        """
        if self._signalled_at is None:
            self._signalled_at, self.signal = time.monotonic(), signum
        elif time.monotonic() - self._signalled_at >= SECOND_SIGNAL_AFTER:
            self.end_at_once()
        self.request()

    def end_at_once(self) -> None:
        """End the process with status 1, as a second signal does."""
        if self._is_ending:
            return  # a signal interrupted the handler of an earlier one, which ends the process
        self._is_ending = True
        self._before_abrupt_end()
        os._exit(1)

    def allow_to_end(self) -> None:
        """Give the process one more second to end before a signal ends it at once."""
        if self._signalled_at is not None:
            self._signalled_at = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait until a stop is requested, but no longer than ``seconds``; return whether it is."""
        self._wait(seconds, lambda: self.is_requested)
        return self.is_requested

    def wait_for_hurry(self, seconds: float) -> bool:
        """As :meth:`wait`, for a stop that is not unhurried."""
        self._wait(seconds, lambda: self.is_hurried)
        return self.is_hurried

    def _wait(self, seconds: float, is_over: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not is_over() and (left := deadline - time.monotonic()) > 0:
            self._await_wake_up(left)

    def run_unless_stopped(self, function: Callable[[], Result]) -> Result:
        """Call ``function`` in a thread, because waiting for a server may take minutes.

        Raises:
            StopRequestedError: a stop was requested before ``function`` returned. Its thread
                continues, but does not keep the process from ending.
        """
        outcome: Future[Result] = Future()
        thread = threading.Thread(target=_complete, args=(outcome, function), daemon=True)
        outcome.add_done_callback(lambda outcome: self._wake())
        if not self.is_requested:
            thread.start()
        while not outcome.done():
            if self.is_requested:
                raise StopRequestedError
            self._await_wake_up(math.inf)
        return outcome.result()

    def _wake(self) -> None:
        self._wake_ups.put(None)
        if (main_thread := main_thread_wait()) is not None:
            main_thread.end()

    def _await_wake_up(self, seconds: float) -> None:
        main_thread = main_thread_wait()
        if main_thread is not None and threading.current_thread() is threading.main_thread():
            main_thread.wait(seconds)
        else:
            with suppress(queue.Empty):
                self._wake_ups.get(timeout=min(seconds, LONGEST_WAIT))


def _complete(outcome: Future[Result], function: Callable[[], Result]) -> None:
    try:
        outcome.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        outcome.set_exception(error)
