"""Messages whose outcome is awaited in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from concurrent.futures import Future

from rele.backends import BaseBackend
from rele.sending.backend_answers import failure_of
from rele.sending.blocking import AnyWaited, Waited
from rele.sending.event_loops import LoopInUse
from rele.sending.timeouts import timeout_error


class AwaitedCall:
    """Lets a task await the outcomes of the messages that one call has handed over.

    The outcome hooks run in the thread that reports the outcome, or in the event loop after the
    timeout; also if the task is cancelled.

    Args:
        loop: the event loop, which runs in the calling thread.
        backend: sends the messages.
        timeout: seconds that the task may wait.
    """

    __slots__ = ("_backend", "_ended", "_expected", "_has_failed", "_loop", "_reported", "_timeout")

    def __init__(self, loop: LoopInUse, backend: BaseBackend, timeout: float) -> None:
        self._loop = loop
        self._backend = backend
        self._timeout = timeout
        self._reported: list[None] = []
        self._expected: int | None = None
        self._has_failed = False
        self._ended = loop.loop.create_future()

    @property
    def is_over(self) -> bool:
        return self._ended.done()

    def end(self) -> None:
        """Wait no longer."""
        if not self._ended.done():
            self._ended.set_result(None)

    def report(self, publication: Waited, future: Future[str]) -> None:
        """Run the hooks for ``future``, which is done."""
        error = failure_of(future)
        if error is not None:
            self._has_failed = True
        try:
            publication.conclude(error)
        finally:
            self._reported.append(None)
            if len(self._reported) == self._expected:
                self._loop.end(self)

    def ended(self, expected: int, timeout: float) -> asyncio.Future[None] | None:
        """A future that is done when ``expected`` messages are reported, or after the timeout.

        Returns:
            the future; ``None`` if all are reported.
        """
        self._expected = expected
        if len(self._reported) >= expected:
            return None
        self._loop.end_after(timeout, self)
        return self._ended

    def note_errors(
        self,
        futures: Mapping[AnyWaited, Future[str]],
        errors: MutableMapping[AnyWaited, BaseException | None],
    ) -> None:
        """Add to ``errors`` those of publications; what has no outcome has timed out."""
        if not self._has_failed and len(self._reported) >= len(futures):
            return
        for publication, future in futures.items():
            if (error := self._error_of(publication, future)) is not None:
                errors[publication] = error

    def _error_of(self, publication: AnyWaited, future: Future[str]) -> BaseException | None:
        if not future.done():
            error = timeout_error(self._backend, publication.topic, self._timeout)
            if publication.run_outcome_hooks(error):
                return error
        return failure_of(future)
