"""The future of a published message, which no thread can leave locked."""

from __future__ import annotations

import _thread
import logging
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

logger = logging.getLogger(__name__)

_PENDING, _FINISHED = "PENDING", "FINISHED"
"""The states that ``concurrent.futures`` knows, by its names."""


reporting: set[int] = set()
"""The threads that are reporting outcomes, by their identity."""


class PublishFuture(Future[str]):
    """A ``concurrent.futures.Future`` of a message id, without locks.

    A signal handler may interrupt a thread, or raise an exception in it, while that thread holds
    the lock of an ordinary future. The thread that completes the future would then wait for ever.
    Here the outcome is stored by one assignment, and whoever waits or has a callback is in a list:
    appending to a list and popping from it are atomic (Python FAQ, "What kinds of global value
    mutation are thread-safe?").

    It cannot be cancelled: the message is on its way.
    """

    _at_once: list[Callable[[Future[str]], object]] = []  # noqa: RUF012 - an own one where needed
    """What wakes a thread that reports outcomes: called before the future is concluded."""

    def __init__(self) -> None:
        # Without super().__init__(), which makes a lock.
        self._outcome: tuple[str | None, BaseException | None] | None = None
        self._is_concluded = False
        self._callbacks: list[Callable[[Future[str]], object]] = []

    def settle(self, result: str | None, error: BaseException | None = None) -> None:
        """Store the outcome: from now on the future is done. :meth:`conclude` must follow."""
        self._outcome = (result, error)
        if self._at_once:
            self._run(self._at_once)

    def conclude(self) -> None:
        """Wake the threads that wait for the future, and run its callbacks."""
        self._is_concluded = True
        if self._callbacks:
            self._run(self._callbacks)

    def set_result(self, result: str) -> None:
        self.settle(result)
        self.conclude()

    def set_exception(self, exception: BaseException | None) -> None:
        self.settle(None, exception)
        self.conclude()

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def cancel(self) -> bool:
        """Return False: a message that was handed over cannot be withdrawn."""
        return False

    def cancelled(self) -> bool:
        return False

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return self._outcome is not None

    def result(self, timeout: float | None = None) -> str:
        """Wait for the message id.

        Args:
            timeout: seconds; ``None`` sets no limit.

        Raises:
            TimeoutError: (``concurrent.futures.TimeoutError``) the outcome is not known in time.
            Exception: the message was not accepted.
        """
        result, error = self._wait(timeout)
        if error is None:
            return result  # type: ignore[return-value]
        try:
            raise error
        finally:
            # Otherwise the traceback of the error would keep this future alive by its frame.
            self = None  # type: ignore[assignment]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the outcome; return the error, or ``None`` if the message was accepted.

        Raises:
            TimeoutError: (``concurrent.futures.TimeoutError``) the outcome is not known in time.
        """
        return self._wait(timeout)[1]

    def add_done_callback(self, fn: Callable[[Future[str]], object]) -> None:
        """Call ``fn`` with the future when it is done: at once if it is done already."""
        self._callbacks.append(fn)
        if self._is_concluded:
            self._run(self._callbacks)

    def __repr__(self) -> str:
        if self._outcome is None:
            return f"<{type(self).__name__} at {id(self):#x} state=pending>"
        result, error = self._outcome
        said = f"returned {result!r}" if error is None else f"raised {type(error).__name__}"
        return f"<{type(self).__name__} at {id(self):#x} state=finished {said}>"

    def _wait(self, timeout: float | None) -> tuple[str | None, BaseException | None]:
        if self._outcome is None:
            lock = _thread.allocate_lock()
            lock.acquire()
            self._wake(lambda future: lock.release())
            lock.acquire(timeout=-1 if timeout is None else _clamped(timeout))
        if self._outcome is None:
            raise FutureTimeoutError
        return self._outcome

    def _wake(self, wake: Callable[[Future[str]], object]) -> None:
        """Call ``wake`` when this thread need not wait for the future any more."""
        if _thread.get_ident() not in reporting:
            self.add_done_callback(wake)
            return
        # This thread is in a hook or a callback, and concludes the future only after that.
        at_once: list[Any] = self.__dict__.setdefault("_at_once", [])
        at_once.append(wake)
        if self._outcome is not None:
            self._run(at_once)

    def _run(self, callbacks: list[Callable[[Future[str]], object]]) -> None:
        """Call each of them once, also if several threads do so at the same time."""
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:  # another thread has just taken the last one
                return
            try:
                callback(self)
            except Exception:
                logger.exception("A callback of %r failed.", self)
            except BaseException:
                self._run(callbacks)  # also those that let a thread go on
                raise

    # What follows are the private names by which wait() and as_completed() of concurrent.futures
    # (Python 3.10 to 3.14) look at a future. They lock it, read its state and install a waiter that
    # must learn of each future that was not finished then. So a thread that "locks" this future
    # goes on seeing the state of that moment, and its waiter is a callback.

    @property
    def _condition(self) -> Any:  # type: ignore[override]
        return _Snapshot(self)

    @property
    def _snapshots(self) -> dict[int, str]:
        """For each thread that has "locked" the future, the state at that time."""
        snapshots: dict[int, str] = self.__dict__.setdefault("_states_seen", {})
        return snapshots

    @property
    def _state(self) -> str:  # type: ignore[override]
        return self._snapshots.get(_thread.get_ident()) or self._state_now()

    def _state_now(self) -> str:
        return _PENDING if self._outcome is None else _FINISHED

    @property
    def _result(self) -> str | None:  # type: ignore[override]
        return self._outcome[0] if self._outcome else None

    @property
    def _exception(self) -> BaseException | None:  # type: ignore[override]
        return self._outcome[1] if self._outcome else None

    @property
    def _waiters(self) -> Any:  # type: ignore[override]
        return _Waiters(self)


def _clamped(timeout: float) -> float:
    """A time that a lock accepts."""
    return min(max(timeout, 0), _thread.TIMEOUT_MAX)


class _Snapshot:
    """Stands in for the lock of a future: a thread that "locks" it sees an unchanging state."""

    def __init__(self, future: PublishFuture) -> None:
        self._future = future

    def acquire(self) -> bool:
        self._future._snapshots[_thread.get_ident()] = self._future._state_now()
        return True

    def release(self) -> None:
        self._future._snapshots.pop(_thread.get_ident(), None)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Waiters:
    """Stands in for the list of those that ``concurrent.futures`` notifies about a future."""

    def __init__(self, future: PublishFuture) -> None:
        self._future = future

    def append(self, waiter: Any) -> None:
        if self._future._state == _FINISHED:
            # wait() and as_completed() know it from the state. Their waiter counts notifications
            # of unfinished futures only.
            return
        self._future._wake(lambda future: _notify(waiter, future))

    def remove(self, waiter: Any) -> None:
        """Leave the callback: to notify a waiter that is no longer used does no harm."""


def _notify(waiter: Any, future: Future[str]) -> None:
    if future.exception() is None:
        waiter.add_result(future)
    else:
        waiter.add_exception(future)
