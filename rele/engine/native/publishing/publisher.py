"""The publisher of Relé's own engine, as a backend uses it."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any

from google.api_core.exceptions import RetryError

from rele.engine.base import PublishedMessage
from rele.engine.connection import Connection
from rele.engine.native.green import threads_in_use
from rele.engine.native.publishing.bounds import Bounds
from rele.engine.native.publishing.calls import Calls
from rele.engine.native.publishing.future import PublishFuture
from rele.engine.native.publishing.outgoing import Outgoing, Report
from rele.engine.native.publishing.publish_core import PublishCore
from rele.engine.native.publishing.retrying import PublishTimes
from rele.engine.native.publishing.sender import Flush, Sender
from rele.engine.native.publishing.wire import message_field
from rele.engine.publisher_options import PublisherOptions
from rele.engine.refusals import explain
from rele.exceptions import PublisherFull, ReleError, ThreadStartError
from rele.messages.explaining import origin_of

_SLICE = 1000
"""Messages that are handed over together; the bounds are checked before each slice."""

_LONGEST_WAIT = 0.05
"""Seconds after which a thread that waits for room checks by itself."""


class NativePublisher:
    """Sends messages by the threads of one :class:`~rele.engine.native.publishing.sender.Sender`.

    All methods may be called in any thread, greenlet, signal handler, finaliser or log handler, at
    any moment, also while another call in the same thread is interrupted.

    Args:
        connection: where Pub/Sub is, and with which credentials.
        options: how to batch, bound and retry.
        times: the durations that no project sets; tests shorten them.

    Raises:
        NoCredentialsError: no credentials are given, and Google's libraries find none.
    """

    def __init__(
        self,
        connection: Connection,
        options: PublisherOptions,
        *,
        times: PublishTimes | None = None,
    ) -> None:
        self._connection = connection
        self._options = options
        self._times = times
        self._of_process: list[Sender] = []
        self._begin_in_process()
        _all.add(self)

    def _begin_in_process(self) -> None:
        self._close_timeout: float | None = None
        self._of_process.append(self._make_sender())

    @property
    def _sender(self) -> Sender:
        """The sender of this process; made anew at the first use after a fork."""
        of_process = self._of_process
        if not of_process:
            self._begin_in_process()
        # The first one: another thread may have made one at the same time.
        return of_process[0]

    def _make_sender(self) -> Sender:
        core = PublishCore(self._options, self.address, self._timed_out, self._times)
        bounds = Bounds(self._options.limit_messages, self._options.limit_bytes)
        project_id = str(self._connection.gc_project_id)
        threads = threads_in_use()
        threads.prepare_grpc()
        calls = Calls(self._connection, project_id, self._options.compression)
        return Sender(core, bounds, calls, threads.new_event_queue())

    @property
    def address(self) -> str:
        """The ``host:port`` that messages are sent to."""
        return self._connection.address

    @property
    def outstanding(self) -> tuple[int, int]:
        """About how many messages are not reported yet, and their bytes."""
        return self._sender.bounds.estimate

    def hand_over(
        self,
        messages: Sequence[PublishedMessage],
        reports: Sequence[Report],
        *,
        timeout: float,
        at_once: bool,
    ) -> list[PublishFuture | ReleError]:
        """Take messages to be sent; return the future of each, or why it was not taken.

        Not taken are messages above the limits of what may be outstanding (``PublisherFull``), and
        those for which no thread can be started (``ThreadStartError``).

        Args:
            messages: the messages.
            reports: for each message, called once with its future when that is done; not called
                for a message that was not taken.
            timeout: seconds that the call may wait if too many messages are outstanding.
            at_once: whether the messages are not gathered with others, since somebody waits.
        """
        sender = self._sender
        now = time.monotonic()
        if len(messages) <= _SLICE:
            taken = self._hand_over(sender, messages, reports, now, timeout, at_once)
        else:
            taken = self._hand_over_slices(sender, messages, reports, now, timeout, at_once)
        if self._close_timeout is not None:
            self.close(self._close_timeout)
        return taken

    def flush(self) -> None:
        """Gather no more: let the sender send what waits now. Does not wait for the outcome."""
        sender = self._sender
        if self._start(sender) is None:
            sender.put(Flush())

    def close(self, timeout: float | None) -> None:
        """Return when all messages are reported, or after ``timeout`` seconds.

        A message that is handed over later is sent before :meth:`hand_over` returns.
        """
        seconds = threading.TIMEOUT_MAX if timeout is None else timeout
        self._close_timeout = seconds
        self._sender.work_until_idle(time.monotonic() + seconds)

    def release(self) -> None:
        """End the threads and close the connection."""
        self._sender.stop()

    @property
    def reports_here(self) -> bool:
        """Whether the current thread is the one that reports outcomes."""
        return self._sender.reporter.role.is_mine

    def next_report(self, reported: queue.SimpleQueue[Any], timeout: float) -> Any:
        """Wait for what a report puts into ``reported``, and return it.

        Called in a hook or a callback, it is in the thread that reports, and goes on reporting
        meanwhile: otherwise it would wait for itself. Called in a finaliser, it may be in the
        thread that sends, which cannot wait.

        Raises:
            queue.Empty: nothing was reported within ``timeout`` seconds.
        """
        sender = self._sender
        if sender.role.is_mine:
            return reported.get_nowait()
        if not sender.reporter.role.is_mine:
            return reported.get(timeout=timeout)
        sender.reporter.report_until(lambda: not reported.empty(), time.monotonic() + timeout)
        return reported.get_nowait()

    def _hand_over(
        self,
        sender: Sender,
        messages: Sequence[PublishedMessage],
        reports: Sequence[Report],
        now: float,
        timeout: float,
        at_once: bool,
    ) -> list[PublishFuture | ReleError]:
        outgoing = []
        futures: list[PublishFuture | ReleError] = []
        size = 0
        for message, report in zip(messages, reports, strict=True):
            key = message.ordering_key
            field = message_field(message.data, message.attributes, key)
            future = PublishFuture()
            outgoing.append(Outgoing(message.topic, key, field, now, at_once, future, report))
            futures.append(future)
            size += outgoing[-1].size
        groups = [outgoing]
        if len(outgoing) > 1 and timeout > 0 and not sender.bounds.is_small(len(outgoing), size):
            groups = self._groups(sender.bounds, outgoing)
        taken = 0
        for group in groups:
            if len(groups) > 1:
                size = sum(message.size for message in group)
            error = self._admit(sender, len(group), size, now + timeout)
            if error is not None:
                return [*futures[:taken], *[error] * (len(outgoing) - taken)]
            sender.put(group)  # from here on they are sent, whatever interrupts this thread
            taken += len(group)
        return futures

    def _groups(self, bounds: Bounds, outgoing: list[Outgoing]) -> list[list[Outgoing]]:
        """Divide messages so that each group may wait for room without the others."""
        if self._must_not_wait():
            return [outgoing]
        groups: list[list[Outgoing]] = []
        size = 0
        for message in outgoing:
            if groups and bounds.is_small(len(groups[-1]) + 1, size + message.size):
                groups[-1].append(message)
                size += message.size
            else:
                groups.append([message])
                size = message.size
        return groups

    def _hand_over_slices(
        self,
        sender: Sender,
        messages: Sequence[PublishedMessage],
        reports: Sequence[Report],
        now: float,
        timeout: float,
        at_once: bool,
    ) -> list[PublishFuture | ReleError]:
        taken: list[PublishFuture | ReleError] = []
        for start in range(0, len(messages), _SLICE):
            end = start + _SLICE
            left = timeout - (time.monotonic() - now)
            some = messages[start:end], reports[start:end]
            taken += self._hand_over(sender, *some, now, left, at_once)
            if isinstance(taken[-1], ReleError):  # what follows would overtake these
                taken += [taken[-1]] * (len(messages) - len(taken))
                break
        return taken

    def _admit(self, sender: Sender, messages: int, size: int, deadline: float) -> ReleError | None:
        """Count messages that are about to be handed over; return the error if they may not be."""
        if not sender.runs and (error := self._start(sender)):
            return error
        if sender.bounds.admit(messages, size) or self._wait(sender, messages, size, deadline):
            return None
        return self._full(sender.bounds)

    def _start(self, sender: Sender) -> ThreadStartError | None:
        """Start the threads, unless they run; return the error if they cannot be started."""
        try:
            sender.start()
        except ThreadStartError as error:
            # At the end of the process, close() does their work.
            return error if self._close_timeout is None else None
        return None

    def _wait(self, sender: Sender, messages: int, size: int, deadline: float) -> bool:
        """Wait until the messages are admitted; return False if there is no room in time."""
        if self._must_not_wait():
            return False
        while not sender.bounds.admit(messages, size):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            sender.wait_for_room(min(left, _LONGEST_WAIT))
        return True

    def _must_not_wait(self) -> bool:
        """Whether waiting in this thread would stop what it waits for, or an event loop."""
        if self._sender.role.is_mine or self._sender.reporter.role.is_mine:
            return True
        if _hands_over_already():
            return True
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    def _full(self, bounds: Bounds) -> PublisherFull:
        outstanding, size = bounds.estimate
        return PublisherFull(
            outstanding, size, self._options.limit_messages, self._options.limit_bytes
        )

    def _timed_out(self, topic: str, last_error: BaseException | None) -> BaseException:
        if last_error is not None:  # without its advice, which follows once
            last_error = origin_of(last_error) or last_error
        error = RetryError(  # type: ignore[no-untyped-call]
            f"Timeout of {self._options.retry_for:g} s exceeded", last_error
        )
        path = f"projects/{self._connection.gc_project_id}/topics/{topic}"
        return explain(error, path, self.address)

    def forget_parent(self) -> None:
        """After a fork: messages, futures and connections belong to the parent."""
        _of_parents.append(self._of_process)
        self._of_process = []


def _hands_over_already() -> bool:
    """Whether this runs in a signal handler or a finaliser that has interrupted a hand-over."""
    code = NativePublisher.hand_over.__code__
    frame: Any = sys._getframe(1)
    calls = 0
    while frame is not None:
        calls += frame.f_code is code
        frame = frame.f_back
    return calls > 1


_all: weakref.WeakSet[NativePublisher] = weakref.WeakSet()

_of_parents: list[Any] = []
"""What a forked process has inherited. It is kept, because closing it would affect the parent."""


def _forget_parent() -> None:
    for publisher in list(_all):
        publisher.forget_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
    os.register_at_fork(after_in_child=_forget_parent)
