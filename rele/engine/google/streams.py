"""A streaming pull of Google's client that is started again whenever it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud.pubsub_v1.types import FlowControl

from rele.engine.alarm import Alarm, Timer
from rele.engine.google import pull_manager
from rele.engine.google.pull_manager import LostThreadError
from rele.engine.google.scheduled import ScheduledCounts
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.leases import FOREVER, Leases
from rele.engine.outage_reports import Outage, in_a_line
from rele.engine.restarts import Draining, Interrupted, LostThreads, Paused, Restarts
from rele.engine.stream_errors import needs_a_person, reason_of, remedy_for
from rele.engine.threads import start_all_threads
from rele.engine.times import Times
from rele.exceptions import ThreadStartError
from rele.status.snapshot import SubscriptionStatus

logger = logging.getLogger(__name__)

_TICK = 0.05
"""Seconds between two checks of a stream that is ending."""


@dataclass(frozen=True)
class Opened:
    """A stream that was opened."""

    future: Any
    """Google's StreamingPullFuture."""
    scheduler: DrainingScheduler

    @property
    def is_ended(self) -> bool:
        """Whether it receives nothing any more."""
        return self.scheduler.is_shut_down or bool(self.future.done())


class RestartingStream:
    """One subscription's streaming pull, started again whenever it ends, until it is drained.

    :class:`~rele.engine.restarts.Restarts` makes the decisions. This class has the threads and the
    log.

    Args:
        name: the subscription's name, for the log.
        open_stream: begins to pull, with the scheduler that it is given; returns Google's future.
        prepare: called before a stream is started again whose subscription may be missing; creates
            the subscription if it may; returns whether the subscription exists.
        threads: how many messages are handled at a time.
        max_lease_duration: seconds for which a message may be outstanding.
        unavailable_for: for how many seconds Pub/Sub has been unavailable, so that streams do not
            end gracefully, and Google's client opens them again silently; 0 if it is available.
        limits: Google's FlowControl for a number of threads; ``None`` for its default.
        times: the durations that it uses; tests shorten them.
        timer: calls functions that are due; by default it has a thread of its own.
    """

    def __init__(
        self,
        name: str,
        open_stream: Callable[[DrainingScheduler], Any],
        prepare: Callable[[], bool],
        threads: int,
        *,
        max_lease_duration: float = FOREVER,
        unavailable_for: Callable[[], float] = lambda: 0.0,
        limits: Callable[[int], Any] = lambda threads: None,
        times: Times | None = None,
        timer: Timer | None = None,
    ) -> None:
        self._name = name
        self._max_lease_duration = max_lease_duration
        self._open_stream = open_stream
        self._prepare = prepare
        self._unavailable_for = unavailable_for
        self._limits = limits
        self._times = times or Times()
        self._timer = timer or Alarm(f"rele-{name}-timer")
        # One executor for all streams of a subscription: while the handlers of an ended stream
        # finish, the handlers of the next stream wait, so that at most `threads` handlers run.
        self._threads = threads
        self._executor = self._make_executor(threads)
        self._is_open = False
        self._lock = threading.Lock()
        self._restarts = Restarts(self._times)
        self._lost_threads = LostThreads(self._times)
        self._thread_outage = Outage(self._times.report_every)
        self._streams: list[Opened] = []
        self._counts = ScheduledCounts()

    def open(self) -> Any:
        """Begin to pull; return Google's future, or ``None`` if it is paused or drained.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        if isinstance(self._restarts.state, Draining):
            return None
        self._is_open = True
        # All threads now, so that none is missing when a message arrives.
        self._timer.start()
        start_all_threads(self._executor, self._threads, f"the handlers of {self._name}")
        future = self._open()
        self._timer.call_at(self._lost_threads.next_check(self._timer.now()), self._check_threads)
        return future

    def drain(self, deadline: float) -> None:
        """Begin to end: open no new stream, and wait for handlers only until ``deadline``.

        ``deadline`` is in seconds of ``time.monotonic()``. Does not block.
        """
        with self._lock:
            self._restarts.drain(self._timer.now(), deadline)
            streams = list(self._streams)
        for function in (self._start_again, self._check_health, self._check_threads):
            self._timer.cancel(function)
        for stream in streams:
            stream.scheduler.set_deadline(deadline)
            self._cancel(stream)

    def join(self, deadline: float) -> int:
        """Wait until the streams have ended; return how many handlers still run at ``deadline``."""
        state = Draining(self._timer.now(), deadline)
        for stream in self._streams:
            while not stream.future.done():
                seconds = state.seconds_to_wait(
                    self._timer.now(),
                    self._times,
                    running=stream.scheduler.running,
                    is_unavailable=self._unavailable_for() > 0,
                )
                if not seconds:
                    logger.debug("The stream of %s has not ended in time.", self._name)
                    break
                self._timer.wait(stream.future, min(seconds, _TICK))
        self._timer.stop()
        self._executor.shutdown(wait=False)
        return self.running

    @property
    def running(self) -> int:
        """How many handlers have begun and not returned."""
        return sum(stream.scheduler.running for stream in self._streams)

    def pause(self) -> None:
        """Close the stream, which nacks what was not begun; running handlers finish."""
        with self._lock:
            streams = list(self._streams) if self._restarts.pause() else []
        for function in (self._start_again, self._check_health):
            self._timer.cancel(function)
        for stream in streams:
            self._cancel(stream)

    def resume(self) -> None:
        """Open a stream again."""
        with self._lock:
            is_to_open = self._restarts.resume() and self._is_open
        if is_to_open:
            self._timer.call_at(self._timer.now(), self._reopen)

    def set_threads(self, threads: int) -> None:
        """Handle so many messages at a time from now on.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        executor = self._make_executor(threads)
        if self._is_open:
            start_all_threads(executor, threads, f"the handlers of {self._name}")
        with self._lock:
            # The threads of the former executor end with it, once they are idle.
            self._threads, self._executor = threads, executor
            streams = list(self._streams)
        limits = self._limits(threads)
        for stream in streams:
            stream.scheduler.set_threads(threads, executor)
            if limits is not None:
                pull_manager.set_flow_control(stream.future, limits)

    def status(self) -> SubscriptionStatus:
        """How the subscription is consumed now; its topic is empty."""
        with self._lock:
            streams = list(self._streams)
            is_paused = isinstance(self._restarts.state, Paused)
            refused_for = self._restarts.interrupted_for(self._timer.now())
            unavailable_for = self._unavailable_for() if self._restarts.is_to_be_open else 0.0
        figures = [stream.scheduler.figures() for stream in streams]
        outstanding = sum(each.messages for each in figures)
        limit = (self._limits(self._threads) or FlowControl()).max_messages
        error = None if refused_for is None else self._newest_error()
        handled_at = self._counts.handled_at
        status = SubscriptionStatus(
            name=self._name,
            topic="",
            threads=self._threads,
            is_paused=is_paused,
            streams=sum(not stream.is_ended for stream in streams),
            refused_for=refused_for,
            refusal="" if error is None else reason_of(error),
            is_refusal_final=error is not None and needs_a_person(error),
            is_engine_running=self._timer.is_alive,
            running=self.running,
            longest_running=max((each.longest_running for each in figures), default=0.0),
            outstanding=outstanding,
            outstanding_bytes=sum(each.size for each in figures),
            limit=limit,
            is_at_limit=outstanding >= limit,
            received=self._counts.received,
            redelivered=self._counts.redelivered,
            idle_for=None if handled_at is None else self._timer.now() - handled_at,
        )
        return _in_an_outage(status, unavailable_for) if unavailable_for else status

    def _open(self) -> Any:
        scheduler = self._make_scheduler()
        with self._lock:
            if not self._restarts.is_to_be_open:
                return None
            try:
                future = self._open_stream(scheduler)
            except BaseException as error:  # noqa: BLE001 - raised below, without the lock
                failure = error
            else:
                scheduler.nack_held = partial(pull_manager.nack_held, future)
                running = [each for each in self._streams if each.scheduler.running]
                self._streams = [*running, Opened(future, scheduler)]
                self._expect_health()
                return future
        scheduler.set_deadline(self._timer.now())
        pull_manager.end_half_open(failure)
        if isinstance(failure, RuntimeError):
            raise ThreadStartError(f"the stream of {self._name}") from failure
        raise failure

    def _make_executor(self, threads: int) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(threads, thread_name_prefix=f"rele-{self._name}")

    def _make_scheduler(self) -> DrainingScheduler:
        scheduler = DrainingScheduler(
            self._executor,
            self._threads,
            self._timer,
            name=self._name,
            leases=Leases(self._max_lease_duration),
            counts=self._counts,
        )
        scheduler.on_shutdown = partial(self._note_end, scheduler)
        return scheduler

    def _expect_health(self) -> None:
        healthy_at = self._restarts.opened(self._timer.now())
        if healthy_at is not None:
            self._timer.call_at(healthy_at, self._check_health)

    def _note_end(self, scheduler: DrainingScheduler) -> None:
        with self._lock:
            if self._streams and self._streams[-1].scheduler is scheduler:
                self._start_again_later()

    def _start_again_later(self) -> None:
        now = self._timer.now()
        at = self._restarts.ended(now)
        if at is not None:
            logger.debug("The stream of %s starts again in %.1f s.", self._name, at - now)
            self._timer.call_at(at, self._start_again)

    def _start_again(self) -> None:
        error = self._newest_error()
        is_restored = False
        try:
            if error is None or isinstance(error, NotFound):
                is_restored = self._prepare()
        except Exception as failure:  # noqa: BLE001 - logged in a line; then comes the next attempt
            error = failure
        # What was restored is logged where that is done; the next failure is logged here again.
        is_repaired = is_restored and isinstance(error, NotFound)
        if not is_repaired or self._restarts.state != Interrupted(1):
            self._report(error, is_restored=is_restored)
        self._reopen()

    def _reopen(self) -> None:
        try:
            self._open()
        except Exception as failure:  # noqa: BLE001 - logged in a line; then comes the next attempt
            if isinstance(failure, ThreadStartError):
                self._report_threads(failure)
            else:
                self._report(failure)
            with self._lock:
                self._start_again_later()

    def _newest_error(self) -> BaseException | None:
        """The error of the newest stream; ``None`` while its handlers run, or without an error."""
        if not self._streams:
            return None
        future = self._streams[-1].future
        error: BaseException | None = future.exception() if future.done() else None
        return error

    def _report(self, error: BaseException | None, *, is_restored: bool = False) -> None:
        with self._lock:
            is_draining = isinstance(self._restarts.state, Draining)
            seconds = None if is_draining else self._restarts.report(self._timer.now())
        if seconds is None:
            return
        is_for_a_person = error is not None and not is_restored and needs_a_person(error)
        remedy = remedy_for(error, self._name) if error and is_for_a_person else ""
        logger.log(
            logging.ERROR if is_for_a_person else logging.WARNING,
            "The stream of %s is interrupted, for %.0f s now: %s. Relé keeps restarting it.%s",
            self._name,
            seconds,
            reason_of(error) if error else "its handlers still run",
            f" {remedy}" if remedy else "",
        )

    def _report_threads(self, error: Exception) -> None:
        """Log why the interruption lasts, also if the interruption itself was logged."""
        if self._thread_outage.should_report(self._timer.now()):
            logger.error(
                "The stream of %s lacks a thread: %s. Relé keeps restarting it.",
                self._name,
                in_a_line(error),
            )

    def _check_health(self) -> None:
        with self._lock:
            seconds = self._restarts.check_health(self._timer.now())
        if seconds is not None:
            logger.info("The stream of %s is back, after %.0f s.", self._name, seconds)

    def _check_threads(self) -> None:
        """Restart the stream if a thread of Google's client has ended without ending the stream."""
        stream = self._streams[-1] if self._streams else None
        name = None if stream is None else pull_manager.lost_thread(stream.future)
        try:
            if stream is not None and self._lost_threads.is_lost(name):
                error = LostThreadError(f"the thread {name} of Google's client has ended")
                pull_manager.end(stream.future, error)
        except (
            RuntimeError
        ) as error:  # no thread can be started to end the stream: the next check tries again
            self._report_threads(error)
        finally:
            check_at = self._lost_threads.next_check(self._timer.now())
            self._timer.call_at(check_at, self._check_threads)

    def _cancel(self, stream: Opened) -> None:
        pull_manager.detach_call(stream.future)
        try:
            stream.future.cancel()
        except RuntimeError as error:  # Google's client starts a thread for it
            logger.error("The stream of %s ends without a thread of its own: %s", self._name, error)
            self._timer.call_at(self._timer.now(), partial(self._end_here, stream))

    def _end_here(self, stream: Opened) -> None:
        pull_manager.end_in_this_thread(stream.future)


def _in_an_outage(status: SubscriptionStatus, seconds: float) -> SubscriptionStatus:
    """The status while Google's client tries silently to open the stream again."""
    return replace(
        status,
        streams=0,
        refused_for=max(status.refused_for or 0.0, seconds),
        refusal=status.refusal or "Pub/Sub is unavailable",
    )
