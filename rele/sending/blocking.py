"""A call that waits until the outcomes of its messages are reported."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol, TypeVar

from rele.backends import BaseBackend
from rele.runtime.queues import new_queue
from rele.sending.backend_answers import failure_of, is_real
from rele.sending.outstanding import Outstanding
from rele.sending.timeouts import TIMEOUTS, timeout_error


class Waited(Outstanding, Protocol):
    """The part of a publication that this module uses."""

    @property
    def topic(self) -> str: ...
    def leave(self, future: Future[str]) -> None: ...
    def run_outcome_hooks(self, error: BaseException | None) -> bool: ...


_LOOKS_EVERY = 0.01
"""Seconds between two checks whether the futures are done although nothing is reported."""

AnyWaited = TypeVar("AnyWaited", bound=Waited)


class BlockingCall:
    """Waits for outcomes, and runs the outcome hooks in the thread that waits.

    Args:
        backend: sends the messages.
        timeout: seconds from now that the call may wait.
    """

    def __init__(self, backend: BaseBackend, timeout: float) -> None:
        self._backend = backend
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._reported: queue.SimpleQueue[tuple[Waited, Future[str]]] = new_queue()
        self._is_over = False

    def report(self, publication: Waited, future: Future[str]) -> None:
        """Let the waiting thread run the hooks for ``future``; run them here if the call is over.

        The call empties its queue after it has noted that it is over. So an outcome that is put
        into the queue before that is found there, and a later one is reported here.
        """
        if not self._is_over:
            publication.leave(future)
            self._reported.put((publication, future))
        if self._is_over:
            publication.conclude(failure_of(future))

    def wait(
        self, futures: Mapping[AnyWaited, Future[str]]
    ) -> dict[AnyWaited, BaseException | None]:
        """Wait for the outcomes of publications; return the error of each, or ``None``.

        Raises:
            BaseException: whatever a signal has raised meanwhile.
        """
        errors: dict[AnyWaited, BaseException | None] = {}
        try:
            self._await_stand_ins(futures, errors)
            self._await_reports(futures, errors)
            self._is_over = True
            for publication, future in futures.items():
                if publication not in errors:
                    errors[publication] = self._outcome_at_end(publication, future)
        except BaseException:
            self.give_up()
            for publication, future in futures.items():
                if is_real(future) and future.done():
                    publication.conclude(failure_of(future))
            raise
        return errors

    def give_up(self) -> None:
        """Run the hooks of the outcomes reported so far; those of later ones run where reported."""
        self._is_over = True
        while not self._reported.empty():
            publication, future = self._reported.get_nowait()
            publication.conclude(failure_of(future))

    def _await_stand_ins(
        self,
        futures: Mapping[AnyWaited, Future[str]],
        errors: dict[AnyWaited, BaseException | None],
    ) -> None:
        """Wait for futures that report nothing: a test's stand-in for a client makes such."""
        left = self._timeout
        for publication, future in futures.items():
            if is_real(future):
                continue
            try:
                future.result(timeout=left)
            except Exception as error:  # noqa: BLE001 - the caller decides
                errors[publication] = self._conclude(publication, error)
            else:
                errors[publication] = self._conclude(publication, None)
            left = self._left()

    def _await_reports(
        self,
        futures: Mapping[AnyWaited, Future[str]],
        errors: dict[AnyWaited, BaseException | None],
    ) -> None:
        """Wait until all outcomes are reported, or their futures done, or until the timeout.

        A report may be late: the thread that reports may be in a hook that waits for a lock which
        the caller of this publish holds, as a log handler that publishes does.
        """
        if getattr(self._backend, "reports_here", False) is True:
            self._await_futures(futures)
            return
        while len(errors) < len(futures):
            before = time.monotonic()
            seconds = max(min(self._deadline - before, _LOOKS_EVERY), 0)
            try:
                publication, future = self._backend.next_report(self._reported, seconds)
            except queue.Empty:
                waits_no_more = time.monotonic() - before < seconds / 2 or not self._left()
                waiting = (future for each, future in futures.items() if each not in errors)
                if waits_no_more or all(future.done() for future in waiting):
                    return
            else:
                errors[publication] = self._conclude(publication, failure_of(future))

    def _await_futures(self, futures: Mapping[AnyWaited, Future[str]]) -> None:
        """Wait until all futures are done, or until the timeout, without reporting others.

        Otherwise the hook of another message would run within this one, and so on.
        """
        with suppress(*TIMEOUTS):
            for future in futures.values():
                future.exception(timeout=self._left())

    def _outcome_at_end(self, publication: AnyWaited, future: Future[str]) -> BaseException | None:
        if not future.done():
            error = timeout_error(self._backend, publication.topic, self._timeout)
            if publication.run_outcome_hooks(error):
                return error
        return self._conclude(publication, failure_of(future))

    def _conclude(
        self, publication: AnyWaited, error: BaseException | None
    ) -> BaseException | None:
        if isinstance(error, TIMEOUTS) and not str(error):
            error = timeout_error(self._backend, publication.topic, self._timeout, error)
        publication.conclude(error)
        return error

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0)
