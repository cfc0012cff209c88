"""What follows from the end of a stream: a line in the log, and a subscription that is restored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from google.api_core.exceptions import GoogleAPICallError, NotFound

from rele.engine.failures import is_passing
from rele.engine.native.consuming.handler_threads import HandlerThreads
from rele.engine.native.consuming.inquiry import Inquiry
from rele.engine.native.consuming.interruptions import Interruption
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.engine.native.consuming.pull_streams import HEALTHY_AFTER
from rele.engine.stream_errors import needs_a_person, reason_of
from rele.exceptions import ThreadStartError

_WITHOUT_STATUS = "Internal error from Core"
"""What gRPC's asyncio API says of a stream that was ended before its first request was written: it
has lost the status by which it was ended. That of the next stream may be known."""

_MOST_WITHOUT_STATUS = 5
"""How many such ends in a row are not logged."""


class StreamEnds:
    """Sees to the ends of the streams of one subscription. Used in the loop.

    Args:
        name: the subscription's name.
        loop: where its streams are.
        threads: one of them restores the subscription.
        restore: called in it, when the subscription is missing; returns whether it exists now.
        inquiry: asks the server whether it answers other calls.
    """

    def __init__(
        self,
        name: str,
        loop: PullLoop,
        threads: HandlerThreads,
        restore: Callable[[], bool],
        inquiry: Inquiry,
    ) -> None:
        self.refusal: BaseException | None = None
        """Why the last stream has ended; ``None`` while one is accepted."""
        self._inquiry = inquiry
        self._interruption = Interruption(name)
        self._loop = loop
        self._threads = threads
        self._restore = restore
        self._was_ended_in_order = False
        self._without_status = 0
        self._is_restored = False
        """Whether the subscription was found to exist since a stream was accepted."""

    def note(self, error: BaseException | None, age: float) -> None:
        """Note that a stream has ended after ``age`` seconds, without being asked to."""
        now = self._loop.now()
        self._without_status = self._without_status + 1 if _WITHOUT_STATUS in str(error) else 0
        if 0 < self._without_status <= _MOST_WITHOUT_STATUS:
            return
        if error is None:
            # The service ends streams now and then. It is worth a line if it takes none.
            is_first, self._was_ended_in_order = not self._was_ended_in_order, True
            if is_first or age >= HEALTHY_AFTER:
                return
            error = GoogleAPICallError("")  # type: ignore[no-untyped-call]
        # Without its traceback, which would keep the call alive.
        self.refusal = error.with_traceback(None)
        self._inquiry.note_refused()
        if is_passing(error) and not needs_a_person(error):
            self._loop.availability.note_failure(now, age, reason_of(error))
            return
        self._interruption.begin(now)
        if not isinstance(error, NotFound):
            self._interruption.report(error, now)
            return
        try:
            self._threads.run(partial(self._restore_subscription, error))
        except ThreadStartError as lack:  # the next end of a stream tries it again
            self._interruption.report(lack, now)

    def end(self) -> None:
        """Note that a stream is accepted."""
        self._was_ended_in_order = self._is_restored = False
        self._interruption.end(self._loop.now())
        if self.refusal is not None:
            self.refusal = None
            self._inquiry.end()

    def ignore(self) -> None:
        """Log nothing more: the subscription is drained."""
        self._interruption.is_of_interest = False

    def _restore_subscription(self, error: BaseException) -> None:
        """In a thread: create the subscription, if the worker may."""
        is_restored = False
        try:
            is_restored = self._restore()
        except Exception as failure:  # noqa: BLE001 - logged in a line; the stream is opened again
            error = failure
        self._loop.call(partial(self._note_restored, error, is_restored=is_restored))

    def _note_restored(self, error: BaseException, *, is_restored: bool) -> None:
        was_restored, self._is_restored = self._is_restored, is_restored
        # That it was created again is logged as an error where that is done. It is worth a line if
        # its streams are refused nevertheless.
        if not is_restored or was_restored:
            self._interruption.report(error, self._loop.now(), exists=is_restored)
