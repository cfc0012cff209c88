"""One subscription, consumed by Relé's own engine: the driver of its core."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import grpc

from rele.engine.native.consuming import pull_calls
from rele.engine.native.consuming.acknowledgements import acknowledge_error
from rele.engine.native.consuming.batch_handlers import BatchHandlers
from rele.engine.native.consuming.blockable import BlockableConsumer
from rele.engine.native.consuming.consume_actions import Actions
from rele.engine.native.consuming.consume_core import ConsumeCore
from rele.engine.native.consuming.consumer_handlers import Handling, handlers_of
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.consumer_status import status_of
from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.due_timer import DueTimer
from rele.engine.native.consuming.dues import earliest
from rele.engine.native.consuming.handler_loop import HandlerLoop
from rele.engine.native.consuming.handler_threads import HandlerThreads
from rele.engine.native.consuming.inquiry import Inquiry
from rele.engine.native.consuming.interruptions import report_drained, report_overdue, report_shed
from rele.engine.native.consuming.lease_calls import Call, Work
from rele.engine.native.consuming.native_message import NativeMessage
from rele.engine.native.consuming.observing import note_settlement
from rele.engine.native.consuming.open_streams import OpenStreams
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.engine.native.consuming.pull_streams import Stream
from rele.engine.native.consuming.reports import Reports
from rele.engine.native.consuming.responses import Responses
from rele.engine.native.consuming.settlement_reports import SettlementReports
from rele.engine.native.consuming.stream_ends import StreamEnds
from rele.engine.outage_reports import Outage
from rele.exceptions import ThreadStartError
from rele.status.observers import OBSERVERS
from rele.status.snapshot import SubscriptionStatus

logger = logging.getLogger(__name__)

_CALL_TIMEOUT = 5.0
"""Seconds until an Acknowledge or a ModifyAckDeadline without an answer counts as failed."""

_LAST_CALLS = 1.0
"""Seconds, after the last handler, for the last acknowledgements."""

_LAST_CALLS_UNAVAILABLE = 0.2
"""The same while Pub/Sub is unavailable: the calls would not arrive."""

_TICK = 0.05

_AGAIN = 1.0
"""Seconds after which a step that has failed is tried again."""


class NativeConsumer:
    """Consumes one subscription until it is drained: a :class:`rele.engine.base.Consumer`.

    Everything but the handlers happens in the thread of the loop.

    Args:
        path: ``projects/PROJECT/subscriptions/NAME``.
        callback: called with each message, in one of ``threads``; where batches are handled, its
            ``handle_batch`` is called with each of these.
        options: how it is consumed.
        pull_loop: where its streams and calls are made.
        threads: run the callbacks.
        prepare: called, in a thread, when Pub/Sub has ended a stream; returns whether the
            subscription exists now.
        opens_within: seconds, within which its first streams are opened at a random time.
        handler_loop: runs the callbacks that are an ``async def``.
    """

    def __init__(
        self,
        path: str,
        callback: Any,
        options: ConsumerOptions,
        pull_loop: PullLoop,
        threads: HandlerThreads,
        prepare: Callable[[], bool] = lambda: True,
        *,
        opens_within: float = 0.0,
        handler_loop: HandlerLoop | None = None,
    ) -> None:
        self._path = path
        self._headers = pull_calls.headers(path)
        self._name = path.rpartition("/")[2]
        inquiry = Inquiry(path, self._headers, pull_loop)
        self._ends = StreamEnds(self._name, pull_loop, threads, prepare, inquiry)
        self._settlements = SettlementReports(self._name)
        self._callback = callback
        self._call = callback.__call__  # kept: to look it up for each message takes time
        self._options = options
        self._loop = pull_loop
        self._threads = threads
        self._opens_within = opens_within
        self._core = ConsumeCore(options)
        self._blockable = BlockableConsumer(self._name, self._core)
        self._streams = OpenStreams(path, options, pull_loop, self._receive, self._end_stream)
        self._reports = Reports(pull_loop, self._take_reports)
        self.note = self._reports.add  # without a further call
        self._handlers = handlers_of(options, self._handling(), threads, handler_loop)
        self._responses = Responses()
        self._timer = DueTimer(pull_loop, self._next_due, self._act)
        self._again_at: float | None = None
        """When to act again after a step has failed."""
        self._lack_of_threads = Outage()
        self._deadline: float | None = None
        self._is_open = False
        self._is_paused = False
        self._ended = threading.Event()

    # From any thread.

    def open(self) -> Any:
        """Begin to consume.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        self._loop.start()
        self._is_open = True
        self._loop.call(self._start)

    def drain(self, deadline: float) -> None:
        """Start no more handlers, and nack what waits. Does not block."""
        if self._is_open:
            self._loop.call(self._drain, deadline)

    def join(self, deadline: float) -> int:
        """Wait until all is settled; return how many handlers still run at ``deadline``."""
        if self._loop.is_inherited or not self._is_open:
            return 0
        self._ended.wait(max(deadline + _LAST_CALLS - self._loop.now(), 0))
        return self.running

    @property
    def running(self) -> int:
        """How many handlers have begun and not returned."""
        return self._handlers.running

    def status(self) -> SubscriptionStatus:
        """How the subscription is consumed now."""
        return status_of(
            self._name, self._core, self._loop, self._streams, self.running, self._ends.refusal
        )

    def pause(self) -> None:
        """Close the streams and nack what was not begun. Does not block."""
        self._is_paused = True
        if self._is_open:
            self._loop.call(self._pause)

    def resume(self) -> None:
        """Consume again."""
        self._is_paused = False
        if self._is_open:
            self._loop.call(self._resume)

    def set_threads(self, threads: int) -> None:
        """Handle so many messages, or batches, at a time from now on."""
        if self._is_open:
            self._loop.call(self._set_threads, threads)
        else:
            self._set_threads_now(threads)

    # In a thread of a handler.

    def settle(self, delivery: Delivery, settled: Settled) -> Future[Any]:
        """Note how a handler has settled its message; return the future of the response."""
        response = self._responses.to(delivery, settled)
        self.note(delivery, settled)
        self._reports.wake()
        if self._loop.is_over:
            error = "This process was forked from a worker, or the worker has stopped."
            response.set_exception(acknowledge_error(error))
        return response

    def _begin(self, delivery: Delivery) -> bool:
        """Whether ``delivery`` is to be handled; if so, it gets its message.

        Not before: what is received and not yet handled is to be small, since the garbage collector
        looks through it again and again.
        """
        if not self._core.begin(delivery, self._loop.now()):
            return False
        delivery.message = NativeMessage(delivery, self)
        return True

    def _handle(self, delivery: Delivery) -> None:
        if self._core.begin(delivery, self._loop.now()):
            delivery.thread_id = threading.get_ident()
            delivery.message = message = NativeMessage(delivery, self)
            try:
                self._call(message)
            except BaseException:
                logger.exception("The callback of %s raised.", self._name)
        self.note(delivery)

    def ack_together(self, deliveries: Sequence[Delivery]) -> None:
        """Note that a handler of batches has acked ``deliveries``."""
        self._loop.call(self._note_acked, deliveries)

    def _begin_batch(self, batch: Sequence[Delivery]) -> list[NativeMessage]:
        thread_id, messages = threading.get_ident(), []
        for delivery in self._core.begin_together(batch, self._loop.now()):
            delivery.thread_id = thread_id
            messages.append(NativeMessage(delivery, self))
        return messages

    # In the loop.

    def _handling(self) -> Handling:
        return Handling(
            self._name,
            self._callback,
            handle=self._handle,
            begin=self._begin,
            finish=self.note,
            begin_batch=self._begin_batch,
            end_batch=partial(self._loop.call, self._finish_batch),
            idle=self._reports.wake,
            now=self._loop.now,
        )

    def _note_acked(self, deliveries: Sequence[Delivery]) -> None:
        self._core.ack_together(deliveries, self._loop.now())
        self._act()

    def _finish_batch(self, batch: list[Delivery]) -> None:
        self._take_waiting_reports()
        now = self._loop.now()
        self._core.finish_together(batch, now)
        assert isinstance(self._handlers, BatchHandlers)
        self._handlers.finish(batch, self._core.is_handed)
        self._act()

    def _take_reports(self) -> None:
        self._take_waiting_reports()
        self._act()

    def _take_waiting_reports(self) -> None:
        self._reports.note_in(self._core, self._loop.now())

    def _start(self) -> None:
        self._loop.blockable.add(self._blockable)
        self._core.start(self._loop.now(), self._opens_within)
        if self._is_paused:
            self._core.pause([])
        self._act()

    def _pause(self) -> None:
        if self._deadline is None:
            self._core.pause(self._handlers.clear())
            self._act()

    def _resume(self) -> None:
        if self._deadline is None:
            self._core.resume(self._loop.now())
            self._act()

    def _set_threads(self, threads: int) -> None:
        self._set_threads_now(threads)
        self._act()

    def _set_threads_now(self, threads: int) -> None:
        self._core.set_threads(threads, self._loop.now())
        self._handlers.set_number(threads)

    def _act(self) -> None:
        self._again_at = None
        try:
            self._carry_out(self._core.act(self._loop.now()))
        except Exception:
            logger.exception(
                "A step of the consumer of %s has failed, which is an error in Relé. It is tried "
                "again; what it was about may be redelivered.",
                self._name,
            )
            self._again_at = self._loop.now() + _AGAIN
        self._timer.set()

    def _carry_out(self, actions: Actions) -> None:
        self._act_on_work(actions.work)
        if actions.shed:
            report_shed(actions.shed, self._name)
        if actions.not_begun:
            report_drained(actions.not_begun, self._name)
        self._streams.act(actions.streams, self._core.lease_seconds)
        if actions.ready:
            self._handlers.add(actions.ready)
            self._reports.watch()
        self._start_handlers()

    def _act_on_work(self, work: Work) -> None:
        for call in work.calls:
            self._loop.begin(self._make_call(call))
        if self._responses:
            for confirmed in (*work.confirmed, *work.answered):
                self._responses.confirm(confirmed)
        for delivery in work.overdue:
            report_overdue(delivery, self._name, self._options.max_lease_duration)
            if isinstance(self._handlers, BatchHandlers):
                self._handlers.abandon(delivery, self._core.is_handed)
        if work.lost:
            self._settlements.note_lost(work.lost, self._loop.now())

    def _start_handlers(self) -> None:
        try:
            self._handlers.start()
        except ThreadStartError as error:  # the messages wait, and their leases are kept
            if self._lack_of_threads.should_report(self._loop.now()):
                logger.error("Messages of %s wait for a thread. %s", self._name, error)
            self._again_at = self._loop.now() + _AGAIN

    def _next_due(self) -> float | None:
        return earliest(self._core.next_due(), self._handlers.next_due(), self._again_at)

    def _end_stream(self, stream: Stream, error: BaseException | None) -> None:
        now = self._loop.now()
        is_cut_off = self._streams.take_ended(stream)
        pause = self._core.note_ended(stream, now, is_cut_off=is_cut_off)
        if pause is not None:
            logger.debug("The stream of %s ended (%r); next in %.1f s.", self._name, error, pause)
            self._ends.note(error, now - stream.opened_at)
        self._act()

    def _receive(self, stream: Stream, response: bytes) -> None:
        now = self._loop.now()
        self._ends.end()
        deliveries = pull_calls.deliveries_of(response)
        self._core.receive(stream, deliveries, now)
        if deliveries:  # else it is the answer to a keepalive, after which nothing is to be done
            if OBSERVERS:
                OBSERVERS.note_received(self._path, deliveries, time.time())
            self._loop.note_work()
            self._act()

    async def _make_call(self, call: Call) -> None:
        method, request = pull_calls.method_and_request(self._path, call)
        error: str | None = None
        refused: Mapping[str, str] = {}
        began = self._loop.now()
        try:
            await self._loop.connections.send(method, request, self._headers, _CALL_TIMEOUT)
        except grpc.aio.AioRpcError as failure:
            error, refused = pull_calls.outcome_of(call, failure)
        except Exception as failure:  # the leases must know that it has ended
            logger.exception("A call of the consumer of %s could not be made.", self._name)
            error = repr(failure)
        now = self._loop.now()
        is_unavailable = self._loop.availability.is_unavailable
        self._settlements.note_end(call, error, now, is_unavailable=is_unavailable)
        self._core.note_answer(call, now, error=error, refused=refused)
        if OBSERVERS:
            note_settlement(self._path, call, now - began, error, refused)
        self._act()

    def _drain(self, deadline: float) -> None:
        if self._deadline is None:
            self._deadline = deadline
            self._ends.ignore()
            nacked = self._core.drain(self._loop.now(), self._handlers.clear())
            report_drained(nacked, self._name)
            self._loop.begin(self._end())
        self._act()

    async def _end(self) -> None:
        """Wait for the running handlers, and until Pub/Sub knows of all settlements."""
        assert self._deadline is not None
        while (self.running or self._streams) and self._loop.now() < self._deadline:
            if self._loop.availability.is_unavailable:
                self._core.give_up()
                self._act()
            await asyncio.sleep(_TICK)
        if self._handlers.cancel():
            await self._wait_for_cancelled()
        until = self._loop.now() + (
            _LAST_CALLS_UNAVAILABLE if self._loop.availability.is_unavailable else _LAST_CALLS
        )
        while self._loop.now() < until and (self._reports.waiting or self._core.is_busy):
            self._core.hurry(self._loop.now())
            self._take_reports()
            await asyncio.sleep(_TICK / 5)
        self._ended.set()

    async def _wait_for_cancelled(self) -> None:
        until = self._loop.now() + _LAST_CALLS / 2
        while self.running and self._loop.now() < until:
            await asyncio.sleep(_TICK / 5)
