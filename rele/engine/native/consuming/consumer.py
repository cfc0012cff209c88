"""One subscription, consumed by Relé's own engine: the driver of its core."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import grpc

from rele.engine.native.consuming import pull_calls
from rele.engine.native.consuming.acknowledgements import AcknowledgeStatus, acknowledge_error
from rele.engine.native.consuming.async_handlers import AsyncHandlers
from rele.engine.native.consuming.batch_handlers import BatchHandlers
from rele.engine.native.consuming.batching import Batching
from rele.engine.native.consuming.blockable import BlockableConsumer
from rele.engine.native.consuming.consume_core import Actions, ConsumeCore
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.due_timer import DueTimer
from rele.engine.native.consuming.dues import earliest
from rele.engine.native.consuming.handler_loop import HandlerLoop
from rele.engine.native.consuming.handler_threads import Handlers, HandlerThreads
from rele.engine.native.consuming.interruptions import report_drained, report_overdue, report_shed
from rele.engine.native.consuming.lease_calls import Call, Confirmed, Work
from rele.engine.native.consuming.native_message import NativeMessage
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.engine.native.consuming.pull_streams import Stream, StreamActions
from rele.engine.native.consuming.reports import Reports
from rele.engine.native.consuming.settlement_reports import SettlementReports
from rele.engine.native.consuming.stream_driver import StreamDriver
from rele.engine.native.consuming.stream_ends import StreamEnds
from rele.engine.outage_reports import Outage
from rele.exceptions import ThreadStartError

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
        self._ends = StreamEnds(self._name, pull_loop, threads, prepare)
        self._settlements = SettlementReports(self._name)
        self._callback = callback
        self._call = callback.__call__  # kept: to look it up for each message takes time
        self._options = options
        self._loop = pull_loop
        self._threads = threads
        self._opens_within = opens_within
        self._core = ConsumeCore(options)
        self._blockable = BlockableConsumer(self._name, self._core)
        self._streams: dict[Stream, StreamDriver] = {}
        self._reports = Reports(pull_loop, self._take_reports)
        self.note = self._reports.add  # without a further call
        self._handlers = self._make_handlers(handler_loop)
        self._responses: dict[tuple[Delivery, Settled], Future[Any]] = {}
        self._timer = DueTimer(pull_loop, self._next_due, self._act)
        self._again_at: float | None = None
        """When to act again after a step has failed."""
        self._lack_of_threads = Outage()
        self._deadline: float | None = None
        self._is_open = False
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

    # In a thread of a handler.

    def settle(self, delivery: Delivery, settled: Settled) -> Future[Any]:
        """Note how a handler has settled its message; return the future of the response."""
        response = self._responses.setdefault((delivery, settled), Future())
        self.note(delivery, settled)
        self._reports.wake()
        if self._loop.is_inherited:
            response.set_exception(acknowledge_error("This process was forked from a worker."))
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

    def _make_handlers(
        self, loop: HandlerLoop | None
    ) -> Handlers[Delivery] | AsyncHandlers | BatchHandlers:
        options, threads, idle = self._options, self._threads, self._reports.wake
        if options.batch_wait is not None:
            return BatchHandlers(
                options.threads,
                Batching(options.batch_size, options.batch_wait),
                threads,
                begin=self._begin_batch,
                handle=self._callback.handle_batch,
                end=partial(self._loop.call, self._finish_batch),
                now=self._loop.now,
            )
        if options.is_async and loop is not None:
            return AsyncHandlers(
                self._name,
                options.threads,
                loop,
                begin=self._begin,
                handle=self._callback.handle_async,
                finish=self.note,
                idle=idle,
            )
        return Handlers(options.threads, self._handle, threads, idle)

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
        self._act()

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
        self._act_on_streams(actions.streams)
        if actions.ready:
            self._handlers.add(actions.ready)
            self._reports.watch()
        self._start_handlers()

    def _act_on_work(self, work: Work) -> None:
        for call in work.calls:
            self._loop.begin(self._make_call(call))
        if self._responses:
            for confirmed in (*work.confirmed, *work.answered):
                self._confirm(confirmed)
        for delivery in work.overdue:
            report_overdue(delivery, self._name, self._options.max_lease_duration)
            if isinstance(self._handlers, BatchHandlers):
                self._handlers.abandon(delivery, self._core.is_handed)
        if work.lost:
            self._settlements.note_lost(work.lost, self._loop.now())

    def _act_on_streams(self, actions: StreamActions) -> None:
        for stream in actions.open:
            self._open_stream(stream)
        for stream in actions.ping:
            if driver := self._streams.get(stream):
                self._loop.begin(driver.ping())
        for stream in actions.close:
            if driver := self._streams.get(stream):
                self._loop.begin(driver.half_close())

    def _start_handlers(self) -> None:
        try:
            self._handlers.start()
        except ThreadStartError as error:  # the messages wait, and their leases are kept
            if self._lack_of_threads.should_report(self._loop.now()):
                logger.error("Messages of %s wait for a thread. %s", self._name, error)
            self._again_at = self._loop.now() + _AGAIN

    def _next_due(self) -> float | None:
        return earliest(self._core.next_due(), self._handlers.next_due(), self._again_at)

    def _open_stream(self, stream: Stream) -> None:
        first_request = pull_calls.first_request(
            self._path,
            ack_deadline=self._core.lease_seconds,
            max_messages=stream.limit,
            max_bytes=max(self._options.max_bytes // self._options.streams, 1),
        )
        self._streams[stream] = StreamDriver(
            self._loop,
            first_request,
            self._headers,
            receive=partial(self._receive, stream),
            end=partial(self._end_stream, stream),
        )

    def _end_stream(self, stream: Stream, error: BaseException | None) -> None:
        now = self._loop.now()
        driver = self._streams.pop(stream)
        pause = self._core.note_ended(stream, now, is_cut_off=driver.is_cut_off)
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
            self._loop.note_work()
            self._act()

    async def _make_call(self, call: Call) -> None:
        method, request = pull_calls.method_and_request(self._path, call)
        error: str | None = None
        refused: Mapping[str, str] = {}
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
        self._act()

    def _confirm(self, confirmed: Confirmed) -> None:
        settled = confirmed.settled or confirmed.delivery.settled
        if settled is None:
            return
        response = self._responses.pop((confirmed.delivery, settled), None)
        if response is None:
            return
        if confirmed.error is None:
            response.set_result(AcknowledgeStatus.SUCCESS)
        else:
            response.set_exception(acknowledge_error(confirmed.error))

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
