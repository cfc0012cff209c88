"""Messages whose outcome is awaited in an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future

from rele.backends import BaseBackend
from rele.sending.backend_answers import failure_of
from rele.sending.blocking import AnyWaited, Waited
from rele.sending.event_loops import Countdown, LoopInUse
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

    def __init__(self, loop: LoopInUse, backend: BaseBackend, timeout: float) -> None:
        self._countdown = Countdown(loop)
        self._backend = backend
        self._timeout = timeout

    def report(self, publication: Waited, future: Future[str]) -> None:
        """Run the hooks for ``future``, which is done."""
        try:
            publication.conclude(failure_of(future))
        finally:
            self._countdown.count()

    async def wait(
        self, futures: Mapping[AnyWaited, Future[str]]
    ) -> dict[AnyWaited, BaseException | None]:
        """Wait for the outcomes of publications; return the error of each, or ``None``."""
        await self._countdown.wait(len(futures), self._timeout)
        return {each: self._error_of(each, future) for each, future in futures.items()}

    def _error_of(self, publication: AnyWaited, future: Future[str]) -> BaseException | None:
        if not future.done():
            error = timeout_error(self._backend, publication.topic, self._timeout)
            if publication.run_outcome_hooks(error):
                return error
        return failure_of(future)
