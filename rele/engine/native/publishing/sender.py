"""The driver of the core: one thread that takes what was handed over, and sends it."""

from __future__ import annotations

import _thread
import logging
import queue
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from rele.engine.native.publishing.bounds import Bounds
from rele.engine.native.publishing.lanes import Lane, Request
from rele.engine.native.publishing.outgoing import Outgoing
from rele.engine.native.publishing.publish_core import Actions, PublishCore
from rele.engine.native.publishing.reporter import Reported, Reporter
from rele.engine.native.publishing.retrying import Failure
from rele.engine.native.publishing.roles import Role
from rele.runtime.own_records import log_publishing
from rele.runtime.queues import new_queue

logger = logging.getLogger(__name__)

_MOST_EVENTS = 10_000
"""The most events that are taken before requests are sent."""

_PAUSE_AFTER_ERROR = 0.1
"""Seconds, so that steps that fail again and again fill neither a core nor the log."""

_LONGEST_WAIT = 60.0
"""Seconds after which the thread checks the time even if nothing is due."""

_PAUSE = 0.02
"""Seconds between two checks whether a thread has ended, so that its work is done here."""


@dataclass(frozen=True)
class Flush:
    """A request to gather no more."""


@dataclass(frozen=True)
class Watch:
    """A request to be notified once nothing is outstanding."""

    notify: Callable[[None], object]


@dataclass(frozen=True)
class Known:
    """A failed future of ``lane`` is done since the time ``at``."""

    lane: Lane
    at: float


@dataclass(frozen=True)
class Stop:
    """A request to end the threads."""


class AnyEnded(Protocol):
    """A request whose call has ended."""

    @property
    def request(self) -> Request: ...


class AnyCalls(Protocol):
    """Makes the calls: :class:`rele.engine.native.publishing.calls.Calls`, or a stand-in."""

    def start(self, request: Request, when_ended: Callable[[Any], object]) -> None: ...
    def answer(self, ended: Any) -> Sequence[str] | Failure: ...
    def close(self) -> None: ...


class Sender:
    """Feeds the core with events, and carries out what it decides.

    ``put`` is the only way in, for every thread: one append to a queue, after :meth:`start`. All
    else happens in the thread that has the role.

    Args:
        core: decides.
        bounds: counts what is outstanding.
        calls: sends requests.
        events: the queue that threads of gRPC put into, too.
    """

    def __init__(
        self,
        core: PublishCore,
        bounds: Bounds,
        calls: AnyCalls,
        events: queue.SimpleQueue[Any] | None = None,
    ) -> None:
        self._core = core
        self.bounds = bounds
        self._calls = calls
        self._events = new_queue() if events is None else events
        self._watchers: list[Watch] = []
        self._is_stopped = False
        self._waiting_for_room: list[Callable[[], object]] = []
        """Functions of threads that wait for room, to call when there may be some."""
        self.role = Role("rele-publisher", self._run, lambda: not self._events.empty())
        self.reporter = Reporter(self.put)

    def put(self, event: Any) -> None:
        """Hand an event over: a list of ``Outgoing``, or what a call or the reporter reports."""
        self._events.put(event)

    @property
    def runs(self) -> bool:
        """Whether both threads run."""
        return not (self.role.token or self.reporter.role.token)

    def start(self) -> None:
        """Start the threads, unless they run.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        # First the one that reports, so that nothing is sent whose outcome is not reported.
        self.reporter.role.start()
        self.role.start()

    def wait_for_room(self, seconds: float) -> None:
        """Wait until there may be room for more messages, for so many seconds at most."""
        lock = _thread.allocate_lock()
        lock.acquire()
        wake = lock.release
        self._waiting_for_room.append(wake)
        try:
            lock.acquire(timeout=seconds)
        finally:
            with suppress(ValueError):  # it was woken
                self._waiting_for_room.remove(wake)

    def work_until_idle(self, deadline: float) -> None:
        """Return when nothing is outstanding, or at the deadline (by ``time.monotonic()``).

        The threads do the work. Where they do not run, and none can be started, this thread does.
        """
        idle: queue.SimpleQueue[None] = new_queue()
        self.put(Flush())
        self.put(Watch(idle.put))
        while idle.empty() and (left := deadline - time.monotonic()) > 0:
            if not self.role.play_here(lambda: self._work_here(idle, deadline)):
                with suppress(queue.Empty):
                    idle.get(timeout=min(left, _PAUSE))
                    return
            self.reporter.role.play_here(self.reporter.report_waiting)

    def stop(self) -> None:
        """End the threads when they have done what was handed over before."""
        self.put(Stop())

    def _work_here(self, idle: queue.SimpleQueue[None], deadline: float) -> None:
        """Send and report in this thread, until nothing is outstanding."""
        while idle.empty() and time.monotonic() < deadline:
            self._step(min(self._seconds(), _PAUSE))
            self.reporter.role.play_here(self.reporter.report_waiting)

    def _run(self) -> None:
        self._is_stopped = False
        while not (self._is_stopped and self.bounds.is_idle):
            self._step(self._seconds())
        self.reporter.stop()
        self._calls.close()

    def _seconds(self) -> float:
        """How long to wait for an event."""
        due = self._core.next_due()
        if due is None:
            return _LONGEST_WAIT
        return min(max(due - time.monotonic(), 0.0), _LONGEST_WAIT)

    def _step(self, seconds: float) -> None:
        """Wait for an event, take all there are, and do what the core decides."""
        try:
            self._take_events(seconds)
            self.bounds.correct()
            self._do(self._core.act(time.monotonic()))
            self._notify()
        except Exception:
            logger.exception("A step of the publisher failed; the next ones follow.")
            time.sleep(_PAUSE_AFTER_ERROR)

    def _notify(self) -> None:
        """Wake the threads that wait for room, and those that wait until nothing is outstanding."""
        with suppress(IndexError):  # the last one waits no longer
            while self._waiting_for_room and self.bounds.has_room(1, 0):
                self._waiting_for_room.pop(0)()
        if self.bounds.is_idle:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                watcher.notify(None)

    def _take_events(self, seconds: float) -> None:
        events = self._events
        try:
            event = events.get(seconds > 0, seconds or None)
            now = time.monotonic()
            for _ in range(_MOST_EVENTS):
                self._take(event, now)
                event = events.get_nowait()
            self._take(event, now)
        except queue.Empty:
            return

    def _take(self, event: Any, now: float) -> None:
        if type(event) is list:
            self._take_messages(event, now)
        elif isinstance(event, Reported):
            self.bounds.release(event.messages, event.size)
        elif isinstance(event, Known):
            self._core.note_reported(event.lane, event.at)
        elif isinstance(event, Flush):
            self._core.flush()
        elif isinstance(event, Watch):
            self._watchers.append(event)
        elif isinstance(event, Stop):
            self._is_stopped = True
        else:
            self._take_answer(event, now)

    def _take_messages(self, messages: list[Outgoing], now: float) -> None:
        size = 0
        for message in messages:
            size += message.size
            self._core.add(message, now)
        self.bounds.take(len(messages), size)

    def _take_answer(self, ended: AnyEnded, now: float) -> None:
        answer = self._calls.answer(ended)
        if isinstance(answer, Failure):
            self._core.note_failure(ended.request, answer, now)
        else:
            self._core.note_accepted(ended.request, answer, now)

    def _do(self, actions: Actions) -> None:
        for request in actions.requests:
            self._calls.start(request, self.put)
        for outcome in actions.outcomes:
            at = self.reporter.put(outcome)
            if outcome.lane is not None:
                # Behind what was handed over before: that fails as well. The hooks may publish to
                # the ordering key and wait, so this does not wait for them.
                self.put(Known(outcome.lane, at))
        for line in actions.lines:
            log_publishing(logger, line.level, line.text, *line.arguments)
