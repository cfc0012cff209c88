"""Running callbacks so that a stream can end without lost or repeated work."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

from rele.engine.alarm import Timer
from rele.engine.base import Message, as_message
from rele.engine.google.scheduled import ScheduledCounts, ScheduledFigures
from rele.engine.leases import Lease, Leases, describe_stuck
from rele.engine.outage_reports import Outage
from rele.engine.stacks import stack_of
from rele.status.observers import OBSERVERS

logger = logging.getLogger(__name__)


class DrainingScheduler(ThreadScheduler):  # type: ignore[misc]
    """Runs callbacks in an executor. At the end of a stream it drains, unlike Google's scheduler.

    Google's client calls :meth:`shutdown` when it ends a stream, while leases are still extended
    and acknowledgements still sent. Then waiting messages are nacked, and running callbacks finish.

    Args:
        executor: runs the callbacks.
        threads: how many callbacks run at a time.
        timer: calls the function that ends leases.
        name: the subscription's name, for the log.
        leases: the outstanding messages, each nacked when its lease ends.
        counts: the totals of the subscription.
    """

    def __init__(
        self,
        executor: ThreadPoolExecutor,
        threads: int,
        timer: Timer,
        *,
        name: str = "a subscription",
        leases: Leases | None = None,
        counts: ScheduledCounts | None = None,
    ) -> None:
        super().__init__(executor)
        self.path = ""
        """``projects/PROJECT/subscriptions/NAME``, for observers."""
        self.deadline: float | None = None
        """When to stop waiting for callbacks, by the timer's clock."""
        self.nack_held: Callable[[], int] = lambda: 0
        """Nacks the messages that the client has not scheduled; returns their number."""
        self.on_shutdown: Callable[[], None] = lambda: None
        """Called when the stream ends, before the wait for running callbacks."""
        self._threads = threads
        self._timer = timer
        self._name = name
        self._leases = leases or Leases()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[tuple[Callable[[Message], Any], Lease]] = deque()
        self._runners: set[object] = set()
        self._handled: dict[object, Lease] = {}
        """What runners are handling."""
        self._counts = counts or ScheduledCounts()
        self._checks_for_due = False
        self._is_shut_down = False
        self._refusals = Outage()

    @property
    def running(self) -> int:
        """How many callbacks have begun and not returned."""
        return len(self._handled)

    @property
    def threads(self) -> int:
        """How many callbacks run at a time."""
        return self._threads

    @property
    def is_shut_down(self) -> bool:
        """Whether the stream has ended."""
        return self._is_shut_down

    def figures(self) -> ScheduledFigures:
        """What is outstanding now."""
        with self._lock:
            leases = self._leases.outstanding
            begun = min((each.begun_at for each in self._handled.values()), default=None)
            return ScheduledFigures(
                len(leases),
                sum(each.message.size for each in leases),
                0.0 if begun is None else max(self._timer.now() - begun, 0.0),
            )

    def set_threads(self, threads: int, executor: ThreadPoolExecutor) -> None:
        """Run so many callbacks at a time from now on, new ones in ``executor``."""
        with self._lock:
            self._threads = threads
            self._executor = executor
            wanted = min(threads - len(self._runners), len(self._waiting))
            runners = [object() for _ in range(wanted)]
            self._runners.update(runners)
        for runner in runners:
            self._start(runner)

    def schedule(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run ``callback(message)`` soon; nack the message if that is impossible.

        Raises no error: it would end the thread in which Google's client reads the stream.
        """
        try:
            message = as_message(args[0])
            if OBSERVERS:
                OBSERVERS.note_received(self.path, [message], time.time())
            runner = self._admit(callback, message)
            if runner is not None:
                self._start(runner)
        except BaseException:
            logger.exception("A message of %s could not be handled, and is nacked.", self._name)
            self._nack(args[0])

    def _admit(self, callback: Callable[..., Any], message: Message) -> object | None:
        """Queue the message; return a runner to start, if another one is needed."""
        with self._lock:
            is_admitted = not self._is_shut_down
            if is_admitted:
                self._forget_what_is_over()
                self._counts.note_received(message)
                lease = self._leases.take(message, self._timer.now())
                self._waiting.append((callback, lease))
                if not self._checks_for_due:
                    self._checks_for_due = True
                    self._timer.call_at(self._leases.first_check(lease), self._end_due)
                if len(self._runners) >= self._threads:
                    return None
                runner = object()
                self._runners.add(runner)
        if is_admitted:
            return runner
        self._nack(message)
        return None

    def _start(self, runner: object) -> None:
        # Without the lock, because the thread that this wakes takes the lock first.
        try:
            self._executor.submit(self._run_waiting, runner)
        except Exception as error:  # noqa: BLE001 - no thread can be started, or no more memory
            self._do_without(runner, error)

    def _do_without(self, runner: object, error: Exception) -> None:
        """Leave the waiting messages to the other runners; nack them if there are none."""
        with self._lock:
            self._runners.discard(runner)
            leases = [] if self._runners else self._take_waiting()
            is_reported = self._refusals.should_report(self._timer.now())
        if is_reported:
            logger.error(
                "No thread can be started for the handlers of %s (%s): %s. Raise the limit of "
                "threads (`ulimit -u`, or pids of the container).",
                self._name,
                error,
                f"{len(leases)} message(s) are nacked, and redelivered"
                if leases
                else "its messages wait for the threads that run",
            )
        for lease in leases:
            self._nack(lease.message)

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:
        """Nack waiting messages, then wait for running callbacks.

        Returns:
            an empty list: no message is left for Google's client to nack.
        """
        with self._lock:
            self._is_shut_down = True
        try:
            nacked = self._nack_waiting() + self._nack_held()
            if nacked:
                logger.info("%d message(s) that were not begun are nacked.", nacked)
        finally:
            self.on_shutdown()
        with self._changed:
            while self._handled and (left := self._seconds_left()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            self._leases.clear()
        self._timer.cancel(self._end_due)
        self._timer.cancel(self._check_deadline)
        return []

    def set_deadline(self, deadline: float) -> None:
        """Wait only until ``deadline``, also if the wait has begun."""
        with self._changed:
            self.deadline = deadline
            self._changed.notify_all()
        self._timer.call_at(deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - self._timer.now()

    def _nack_waiting(self) -> int:
        with self._lock:
            leases = self._take_waiting()
        for lease in leases:
            self._nack(lease.message)
        return len(leases)

    def _take_waiting(self) -> list[Lease]:
        leases = [lease for _, lease in self._waiting if not lease.is_over]
        self._waiting.clear()
        for lease in leases:
            self._leases.let_go(lease)
        return leases

    def _nack_held(self) -> int:
        try:
            return self.nack_held()
        except Exception:
            logger.exception(
                "Messages that the client had not handed over are redelivered when their ack "
                "deadlines have passed."
            )
            return 0

    def _forget_what_is_over(self) -> None:
        """Forget waiting messages whose leases are over, so that they do not pile up."""
        while self._waiting and self._waiting[0][1].is_over:
            self._waiting.popleft()

    def _run_waiting(self, runner: object) -> None:
        """Run callbacks until no message waits."""
        thread_id = threading.get_ident()
        handled: Lease | None = None
        while True:
            with self._lock:
                if handled is not None:
                    self._finish(runner, handled)
                following = self._begin_next(runner, thread_id)
                if following is None:
                    self._runners.discard(runner)
                    break
            callback, lease = following
            try:
                callback(lease.message)
            except BaseException:
                logger.exception("The callback of %s raised.", self._name)
            if lease.is_over:
                self._report_late_return(lease)
            handled = lease

    def _begin_next(
        self, runner: object, thread_id: int
    ) -> tuple[Callable[[Message], Any], Lease] | None:
        while self._waiting and len(self._runners) <= self._threads:
            following = self._waiting.popleft()
            if self._leases.begin(following[1], thread_id, self._timer.now()):
                self._handled[runner] = following[1]
                return following
        return None

    def _finish(self, runner: object, lease: Lease) -> None:
        self._leases.let_go(lease)
        del self._handled[runner]
        self._counts.handled_at = self._timer.now()
        if self._is_shut_down:
            self._changed.notify_all()

    def _end_due(self) -> None:
        with self._lock:
            due = self._leases.end_due(self._timer.now())
            # While holding the lock, so that each stuck thread is still where it is stuck.
            lines = [self._describe(lease) for lease in due if lease.thread_id is not None]
            check_at = self._leases.next_check(self._timer.now())
            self._checks_for_due = check_at is not None
            if check_at is not None:
                self._timer.call_at(check_at, self._end_due)
        for line in lines:
            logger.error(line)
        self._report_not_begun(len(due) - len(lines))
        for lease in due:
            self._nack(lease.message)

    def _nack(self, message: Any) -> None:
        """Nack a message; if this fails, it is redelivered when its lease or its process ends."""
        try:
            message.nack()
        except Exception:
            logger.exception("A message of %s could not be nacked.", self._name)

    def _report_not_begun(self, count: int) -> None:
        if count:
            logger.warning(
                "%d message(s) of %s waited for a thread for %g s (max_lease_duration): their "
                "leases end, and they will be delivered again. More threads or a smaller "
                "max_messages help.",
                count,
                self._name,
                self._leases.seconds,
            )

    def _report_late_return(self, lease: Lease) -> None:
        logger.warning(
            "The handler of %s has returned from the message %s after all, %.0f s after it "
            "had begun: the message is handled again elsewhere.",
            self._name,
            lease.message.message_id,
            self._timer.now() - lease.begun_at,
        )

    def _describe(self, lease: Lease) -> str:
        return describe_stuck(
            lease,
            subscription=self._name,
            seconds=self._leases.seconds,
            begun_at=time.time() - (self._timer.now() - lease.begun_at),
            where=stack_of(lease.thread_id),
        )
