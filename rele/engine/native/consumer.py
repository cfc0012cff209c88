"""One subscription, consumed by Relé's own engine."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.api_core.exceptions import NotFound, from_grpc_status

from rele.engine.failures import is_passing
from rele.engine.native import pull_calls
from rele.engine.native.acknowledgements import AcknowledgeStatus, acknowledge_error
from rele.engine.native.delivery import Delivery, Settled
from rele.engine.native.handler_threads import Handlers, HandlerThreads
from rele.engine.native.interruptions import Interruption, report_overdue
from rele.engine.native.lease_keeper import Call, Confirmed, LeaseKeeper
from rele.engine.native.lease_times import LeaseTimes
from rele.engine.native.native_message import NativeMessage
from rele.engine.native.ordered_keys import OrderedKeys
from rele.engine.native.pull_loop import PullLoop
from rele.engine.native.pull_streams import PullStreams, Stream

logger = logging.getLogger(__name__)

_CALL_TIMEOUT = 5.0
"""Seconds until an Acknowledge or a ModifyAckDeadline without an answer counts as failed."""

_LAST_CALLS = 1.0
"""Seconds, after the last handler, for the last acknowledgements."""

_LAST_CALLS_UNAVAILABLE = 0.2
"""The same while Pub/Sub is unavailable: the calls would not arrive."""

_LAST_MESSAGES = 1.0
"""Seconds that a stream may take to end, after which it is cancelled."""

_TICK = 0.05


@dataclass(frozen=True)
class ConsumerOptions:
    """How a subscription is consumed."""

    threads: int
    """How many messages are handled at a time."""
    max_messages: int = 1000
    max_bytes: int = 100 * 2**20
    """What may be outstanding."""
    ack_deadline: int = 60
    """Seconds of the longest lease."""
    max_lease_duration: float = 3600.0
    """Seconds after which an outstanding message is nacked."""
    is_exactly_once: bool = False
    max_attempts: int | None = None
    """Of the dead-letter policy; ``None`` without one."""


class NativeConsumer:
    """Consumes one subscription until it is drained: a :class:`rele.engine.base.Consumer`.

    Everything but the handlers happens in the thread of the loop.

    Args:
        path: ``projects/PROJECT/subscriptions/NAME``.
        callback: called with each message, in one of ``threads``.
        options: how it is consumed.
        pull_loop: where its streams and calls are made.
        threads: run the callbacks.
        prepare: called, in a thread, when Pub/Sub has ended a stream; returns whether the
            subscription exists now.
    """

    def __init__(
        self,
        path: str,
        callback: Callable[[NativeMessage], object],
        options: ConsumerOptions,
        pull_loop: PullLoop,
        threads: HandlerThreads,
        prepare: Callable[[], bool] = lambda: True,
    ) -> None:
        self._path = path
        self._name = path.rpartition("/")[2]
        self._interruption = Interruption(self._name)
        self._callback = callback
        self._options = options
        self._loop = pull_loop
        self._threads = threads
        self._prepare = prepare
        once = options.is_exactly_once
        times = LeaseTimes(options.ack_deadline, is_exactly_once=once, random=random.random)
        self._keeper = LeaseKeeper(times, options.max_lease_duration, is_exactly_once=once)
        self._times = times
        self._streams = PullStreams(options.max_messages)
        self._ordered = OrderedKeys(options.max_attempts)
        self._tasks: dict[Stream, asyncio.Task[None]] = {}
        self._calls: dict[Stream, Any] = {}
        self._handlers = Handlers(options.threads, self._handle, threads)
        self._events: deque[Callable[[], None]] = deque()
        self._is_woken = False
        self._responses: dict[Delivery, Future[Any]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._ended = threading.Event()

    # From any thread.

    def open(self) -> Any:
        """Begin to consume.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        self._loop.start()
        self._loop.call(self._start)

    def drain(self, deadline: float) -> None:
        """Start no more handlers, and nack what waits. Does not block."""
        self._loop.call(self._drain, deadline)

    def join(self, deadline: float) -> int:
        """Wait until all is settled; return how many handlers still run at ``deadline``."""
        self._ended.wait(max(deadline + _LAST_CALLS - self._loop.now(), 0))
        return self.running

    @property
    def running(self) -> int:
        """How many handlers have begun and not returned."""
        return self._handlers.running

    # In a thread of a handler.

    def settle(self, delivery: Delivery, settled: Settled) -> Future[Any] | None:
        """Note how a handler has settled its message."""
        response: Future[Any] | None = None
        if settled.wants_response:
            response = self._responses[delivery] = Future()
        self._tell(lambda: self._settle(delivery, settled))
        return response

    def _handle(self, delivery: Delivery) -> None:
        if not delivery.is_lost and delivery.settled is None:
            delivery.begun_at = self._loop.now()
            delivery.thread_id = threading.get_ident()
            try:
                self._callback(delivery.message)
            except BaseException:
                logger.exception("The callback of %s raised.", self._name)
        self._tell(lambda: self._finish(delivery))

    def _tell(self, event: Callable[[], None]) -> None:
        self._events.append(event)
        if not self._is_woken:
            self._is_woken = True
            self._loop.call(self._take_events)

    # In the loop.

    def _take_events(self) -> None:
        self._is_woken = False
        while self._events:
            self._events.popleft()()
        self._act()

    def _start(self) -> None:
        self._streams.start(self._loop.now())
        self._act()

    def _act(self) -> None:
        now = self._loop.now()
        work = self._keeper.act(now)
        for call in work.calls:
            self._loop.begin(self._make_call(call))
        for confirmed in work.confirmed:
            self._confirm(confirmed)
        for delivery in work.overdue:
            report_overdue(delivery, self._name, self._options.max_lease_duration)
        streams = self._streams.act(now)
        for stream in streams.open:
            self._tasks[stream] = self._loop.begin(self._pull(stream))
        for stream in streams.ping:
            self._loop.begin(self._ping(stream))
        for stream in streams.close:
            self._close(stream)
        self._handlers.start()
        self._set_timer()

    def _set_timer(self) -> None:
        due = min(
            (at for at in (self._keeper.next_due(), self._streams.next_due()) if at is not None),
            default=None,
        )
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self._loop.loop.call_at(due, self._act)

    async def _pull(self, stream: Stream) -> None:
        error: BaseException | None = None
        channel, streams = self._loop.channel_for_stream()
        streams.append(None)
        try:
            call = channel.stream_stream(pull_calls.STREAMING_PULL)()
            self._calls[stream] = call
            await call.write(
                pull_calls.first_request(
                    self._path,
                    ack_deadline=self._times.seconds,
                    max_messages=stream.limit,
                    max_bytes=self._options.max_bytes,
                    client_id=str(uuid.uuid4()),
                )
            )
            while (response := await call.read()) is not grpc.aio.EOF:
                self._receive(stream, pull_calls.parsed(response))
            code = await call.code()
            if code is not grpc.StatusCode.OK:
                error = from_grpc_status(code, await call.details())  # type: ignore[no-untyped-call]
        except grpc.aio.AioRpcError as failure:
            error = from_grpc_status(failure.code(), failure.details())  # type: ignore[no-untyped-call]
        except (asyncio.CancelledError, asyncio.InvalidStateError) as failure:
            error = failure
        finally:
            streams.pop()
            self._calls.pop(stream, None)
            self._tasks.pop(stream, None)
            self._end_stream(stream, error)

    def _end_stream(self, stream: Stream, error: BaseException | None) -> None:
        now = self._loop.now()
        pause = self._streams.note_ended(stream, now)
        if pause is not None:
            logger.debug("The stream of %s ended (%r); next in %.1f s.", self._name, error, pause)
            self._report_end(stream, error, now)
        self._act()

    def _report_end(self, stream: Stream, error: BaseException | None, now: float) -> None:
        """Log an interruption that lasts, and see to a subscription that is missing."""
        if error is not None and is_passing(error):
            self._loop.availability.note_failure(now, now - stream.opened_at, str(error))
        elif error is not None:
            self._interruption.begin(now)
            if isinstance(error, NotFound):
                self._threads.run(partial(self._restore, error))
            else:
                self._interruption.report(error, now)

    def _restore(self, error: BaseException) -> None:
        """In a thread: create the subscription, if the worker may."""
        is_restored = False
        try:
            is_restored = self._prepare()
        except Exception as failure:  # noqa: BLE001 - logged in a line; the stream is opened again
            error = failure
        self._tell(
            lambda: self._interruption.report(error, self._loop.now(), is_restored=is_restored)
        )

    async def _ping(self, stream: Stream) -> None:
        call = self._calls.get(stream)
        if call is not None:
            await call.write(pull_calls.KEEPALIVE)

    def _close(self, stream: Stream) -> None:
        self._loop.begin(self._half_close(stream))

    async def _half_close(self, stream: Stream) -> None:
        """End a stream, but take what the server has already sent on it."""
        call, task = self._calls.get(stream), self._tasks.get(stream)
        if task is None:
            return
        if call is None:
            task.cancel()
            return
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.done_writing()
            await asyncio.wait([task], timeout=_LAST_MESSAGES)
        task.cancel()

    def _receive(self, stream: Stream, response: Any) -> None:
        now = self._loop.now()
        received = response.received_messages
        self._streams.note_received(stream, now, is_answer=not received)
        self._interruption.end(now)
        deliveries = [self._delivery(each) for each in received]
        self._keeper.receive(deliveries, now)
        if self._deadline is not None:
            self._nack(deliveries)
        else:
            for delivery in deliveries:
                self._make_ready(delivery)
        self._act()

    def _delivery(self, received: Any) -> Delivery:
        message = received.message
        delivery = Delivery(
            received.ack_id,
            message.message_id,
            message.ordering_key,
            message.ByteSize(),
            received.delivery_attempt or None,
        )
        delivery.message = NativeMessage(received, delivery, self.settle, True)
        return delivery

    def _make_ready(self, delivery: Delivery) -> None:
        if not delivery.key:
            self._handlers.add(delivery)
        elif (following := self._ordered.receive(delivery)) is not None:
            self._handlers.add(following)

    def _settle(self, delivery: Delivery, settled: Settled) -> None:
        self._keeper.settle(delivery, settled, self._loop.now())

    def _finish(self, delivery: Delivery) -> None:
        """Go on after a handler: with the next message of the key, if there is one."""
        if delivery.key:
            settled = delivery.settled
            if settled is not None and settled.kind == "ack":
                following = self._ordered.succeed(delivery)
            else:
                to_nack, following = self._ordered.fail(delivery)
                self._nack(to_nack)
            if following is not None:
                self._handlers.add(following)
        if self._deadline is not None:
            self._nack_waiting()

    def _nack(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._settle(delivery, Settled("nack"))

    def _nack_waiting(self) -> None:
        waiting = [d for d in self._keeper.outstanding.values() if d.begun_at is None]
        self._handlers.clear()
        self._nack(waiting)

    async def _make_call(self, call: Call) -> None:
        method, request = pull_calls.method_and_request(self._path, call)
        error, refused = None, {}
        try:
            stub = self._loop.channel_for_calls().unary_unary(method)
            await stub(request, timeout=_CALL_TIMEOUT, wait_for_ready=True)
        except grpc.aio.AioRpcError as failure:
            refused = dict(pull_calls.refused_ids(failure.trailing_metadata()))
            error = None if refused else f"{failure.code().name}: {failure.details()}"
        self._keeper.note_answer(call, self._loop.now(), error=error, refused=refused)
        self._act()

    def _confirm(self, confirmed: Confirmed) -> None:
        response = self._responses.pop(confirmed.delivery, None)
        if response is None:
            return
        if confirmed.error is None:
            response.set_result(AcknowledgeStatus.SUCCESS)
        else:
            response.set_exception(acknowledge_error(confirmed.error))

    def _drain(self, deadline: float) -> None:
        if self._deadline is None:
            self._deadline = deadline
            self._streams.drain()
            self._interruption.is_of_interest = False
            self._nack_waiting()
            self._loop.begin(self._end())
        self._act()

    async def _end(self) -> None:
        """Wait for the running handlers, and until Pub/Sub knows of all settlements."""
        assert self._deadline is not None
        while (self.running or self._tasks) and self._loop.now() < self._deadline:
            await asyncio.sleep(_TICK)
        until = self._loop.now() + (
            _LAST_CALLS_UNAVAILABLE if self._loop.availability.is_unavailable else _LAST_CALLS
        )
        while self._loop.now() < until and (self._events or self._keeper.is_busy):
            self._keeper.hurry(self._loop.now())
            self._act()
            await asyncio.sleep(_TICK / 5)
        self._ended.set()
