"""Messages whose outcome is awaited in an event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from rele.sending.backend_answers import failure_of
from rele.sending.event_loops import Countdown, LoopInUse
from rele.sending.publication import Publication

TimeOut = Callable[[Publication], BaseException]
"""Makes the error of a message whose outcome is not known in time."""


class AwaitedCall:
    """The messages that one call has handed over, and whose outcomes a task awaits.

    Args:
        loop: the event loop, which runs in the calling thread.
        watch: lets a function be called with a future when it is done.
    """

    def __init__(
        self,
        loop: LoopInUse,
        watch: Callable[[Future[str], Callable[[Future[str]], None]], None],
    ) -> None:
        self._countdown = Countdown(loop)
        self._watch = watch
        self._messages: dict[Future[str], _Awaited] = {}

    def add(self, publication: Publication, future: Future[str]) -> None:
        """Await the outcome of one more message, and let its hooks run then."""
        awaited = self._messages[future] = _Awaited(publication, future, self._countdown)
        self._watch(future, awaited.report)

    async def errors(
        self, futures: Sequence[Future[str]], timeout: float, time_out: TimeOut
    ) -> list[BaseException | None]:
        """Wait for all messages; return the error of each, or ``None``.

        Args:
            futures: of all messages of the call; those that were not added are done.
            timeout: seconds.
            time_out: makes the error of a message whose outcome is not known by then.
        """
        await self._countdown.wait(len(self._messages), timeout)
        return [self._error_of(future, time_out) for future in futures]

    def _error_of(self, future: Future[str], time_out: TimeOut) -> BaseException | None:
        awaited = self._messages.get(future)
        return failure_of(future) if awaited is None else awaited.error_now(time_out)


class _Awaited:
    """One message. Its hooks run once, also if its task is cancelled.

    They run in the thread that completes the future, or in the event loop after the timeout.
    """

    def __init__(self, publication: Publication, future: Future[str], countdown: Countdown) -> None:
        self._publication = publication
        self._future = future
        self._countdown = countdown
        self._claims = [None]

    def report(self, future: Future[str]) -> None:
        """Run the hooks for the future, which is done, unless they have run."""
        try:
            if self._claim():
                self._publication.report(future)
        finally:
            self._countdown.count()

    def error_now(self, time_out: TimeOut) -> BaseException | None:
        if self._future.done() or not self._claim():
            return failure_of(self._future)
        error = time_out(self._publication)
        self._publication.report_failure(error)
        return error

    def _claim(self) -> bool:
        try:
            self._claims.pop()
        except IndexError:
            return False
        return True
