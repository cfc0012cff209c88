"""A process that consumes: a thin driver of the engine's core, in virtual time.

It does what ``rele/engine/native/consuming/consumer.py`` does with an event loop, threads and gRPC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from rele.engine.native.consuming.batching import Batching
from rele.engine.native.consuming.consume_core import ConsumeCore
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.lease_calls import Call, Work
from rele.engine.native.consuming.pull_streams import Stream, StreamActions
from tests.simulation.batches import ModelBatches
from tests.simulation.clockwork import TICK, Clockwork, Timer
from tests.simulation.handlers import Behaviour, ModelHandlers
from tests.simulation.network import Link, Network
from tests.simulation.server import Received, Refused, Server, ServerStream
from tests.simulation.tasks import ModelTasks
from tests.support.history import History

CALL_TIMEOUT = 5.0
"""Seconds until a call without an answer counts as failed."""

LAST_CALLS = 1.0
"""Seconds, after the last handler, for the last acknowledgements."""

LAST_MESSAGES = 1.0
"""Seconds that a stream may take to end, after which it is cancelled."""

THREAD_DELAY = 0.002
"""Seconds that it takes at most until another thread of the process goes on."""


@dataclass
class Surroundings:
    """What all processes share."""

    clockwork: Clockwork
    random: Random
    network: Network
    server: Server
    history: History
    behaviours: dict[int, Behaviour]
    tries: dict[int, int]
    """How often each message has begun."""


class Worker:
    """One process with one subscription.

    Args:
        name: of the process.
        around: what all processes share.
        options: how the subscription is consumed.
        on_end: called when the process has ended, however that was.
    """

    def __init__(
        self,
        name: str,
        around: Surroundings,
        options: ConsumerOptions,
        on_end: Callable[[Worker], None],
    ) -> None:
        self.name = name
        self.is_dead = False
        self.is_draining = False
        self.link = Link(around.network)
        self.streams: dict[Stream, ServerStream] = {}
        self.threads = options.threads
        """As it is configured."""
        self._around = around
        self._options = options
        self._on_end = on_end
        self._core = ConsumeCore(options, around.random.random)
        self._handlers = self._make_handlers()
        self._timer: Timer | None = None
        self._calls: dict[int, Call] = {}
        """Those without an answer, by identity."""
        self._deadline: float | None = None
        self._last_calls_until: float | None = None
        self._is_cancelling = False
        self._is_unavailable = False
        self._suspended_until: float | None = None
        self._lag = 0.0
        """Seconds that the clock of this process is late."""
        self._reports: list[Callable[[float], object]] = []
        """What the loop is to be informed of by threads of handlers."""
        self._received: list[Delivery] = []
        """What it may hold."""
        self._inbox: list[Callable[[], object]] = []
        """What happens when a suspended process goes on."""

    def _make_handlers(self) -> ModelHandlers | ModelBatches:
        options = self._options
        once, attempts = options.is_exactly_once, options.max_attempts
        if options.batch_wait is None:
            kind = ModelTasks if options.is_async else ModelHandlers
            return kind(options.threads, self, waits_for_confirmation=once, max_attempts=attempts)
        batching = Batching(options.batch_size, options.batch_wait)
        return ModelBatches(
            options.threads, batching, self, waits_for_confirmation=once, max_attempts=attempts
        )

    def start(self) -> None:
        """Begin to consume."""
        self._note("started")
        self._core.start(self._now)
        self._act()

    def stop(self, timeout: float) -> None:
        """Ask it to stop within ``timeout`` seconds."""
        if not (self.is_dead or self.is_draining):
            self.is_draining = True
            self._post(self._drain, timeout)

    def pause(self) -> None:
        """Ask it to consume nothing until it is resumed."""
        self._post(self._pause)

    def resume(self) -> None:
        """Ask it to consume again."""
        self._post(self._go_on)

    def set_threads(self, threads: int) -> None:
        """Ask it to handle so many messages, or batches, at a time."""
        self._post(self._change, threads)

    def kill(self) -> None:
        """End it at once."""
        self._end()

    def suspend(self, seconds: float, *, stops_clock: bool = False) -> None:
        """Let nothing in it happen for some seconds."""
        clockwork = self._around.clockwork
        until = max(clockwork.now + seconds, self._suspended_until or 0.0)
        self._note("suspended", seconds)
        self._note("fault", seconds)
        if self._suspended_until is None:
            clockwork.at(until, self._resume)
        self._suspended_until = until
        if stops_clock:
            self._lag += seconds

    # What its handlers need.

    def behaviour(self, delivery: Delivery) -> tuple[Behaviour, int]:
        """What a handler does with ``delivery``, and how often it began with the message."""
        number = int(delivery.message_id)
        tries = self._around.tries
        tries[number] = tries.get(number, 0) + 1
        return self._around.behaviours[number], tries[number]

    def note(self, kind: str, delivery: Delivery, detail: object = None) -> None:
        """Add to the history."""
        self._around.history.add(
            self._around.clockwork.now,
            kind,
            int(delivery.message_id),
            self.name,
            delivery.ack_id,
            detail,
        )

    def soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` in another thread."""
        self.later(THREAD_DELAY * self._around.random.random(), function, *arguments)

    def later(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` in the same thread, after some seconds."""
        self._around.clockwork.after(seconds, self._post, function, *arguments)

    def begin(self, delivery: Delivery) -> bool:
        """A handler is about to begin; whether it may."""
        return self._core.begin(delivery, self._now)

    def settle(self, delivery: Delivery, settled: Settled) -> None:
        """A handler has settled its message."""
        self._report(self._core.settle, delivery, settled)

    def finish(self, delivery: Delivery) -> None:
        """A handler has returned."""
        self._report(self._core.finish, delivery)

    def clock(self) -> float:
        """The time of this process."""
        return self._now

    def begin_together(self, batch: Sequence[Delivery]) -> list[Delivery]:
        """A handler of batches is about to begin; return those with which it may."""
        return self._core.begin_together(batch, self._now)

    def ack_together(self, deliveries: Sequence[Delivery]) -> None:
        """A handler of batches has acked ``deliveries``."""
        self._report(self._core.ack_together, deliveries)

    def finish_together(
        self, batch: Sequence[Delivery], then: Callable[[Callable[[Delivery], bool]], None]
    ) -> None:
        """A handler of batches has returned; ``then`` is to be called in the loop."""
        self._report(self._core.finish_together, batch)
        self._report(lambda now: then(self._core.is_handed))

    def crash(self) -> None:
        """A handler ends the process."""
        self._note("fault", 0.0)
        self._end()

    # In its loop.

    @property
    def _now(self) -> float:
        return self._around.clockwork.now - self._lag

    def _post(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` in the process, if it lives, and when it runs."""
        if self.is_dead:
            return
        if self._suspended_until is not None:
            self._inbox.append(partial(function, *arguments))
        else:
            function(*arguments)

    def _resume(self) -> None:
        if self.is_dead or self._suspended_until is None:
            return
        if self._suspended_until > self._around.clockwork.now:
            self._around.clockwork.at(self._suspended_until, self._resume)
            return
        self._suspended_until = None
        inbox, self._inbox = self._inbox, []
        for number, event in enumerate(inbox):
            if self._suspended_until is not None:  # a handler holds the interpreter again
                self._inbox += inbox[number:]
                return
            if not self.is_dead:
                event()

    def _report(self, function: Callable[..., object], *arguments: object) -> None:
        """Let the loop call ``function`` with the time, after what was reported before."""
        self._reports.append(partial(function, *arguments))
        if len(self._reports) == 1:
            self.soon(self._take_reports)

    def _take_reports(self) -> None:
        reports, self._reports = self._reports, []
        for report in reports:
            report(self._now)
        self._act()

    def _act(self) -> None:
        if self.is_dead:
            return
        actions = self._core.act(self._now)
        self._do_work(actions.work)
        self._do_to_streams(actions.streams)
        for delivery in actions.ready:
            self._handlers.add(delivery)
        self._handlers.start()
        self._note_held()
        self._set_timer()
        if self._deadline is not None:
            self._end_if_done()

    def _note_held(self) -> None:
        """Note how many messages this process holds, if these are more than it may.

        What it has settled counts no more, nor what is another's: Pub/Sub has ended the lease.
        """
        if self._core.outstanding > self._options.max_messages:
            held = [each for each in self._received if each.settled is None and not each.is_lost]
            self._received = held
            leased = self._around.server.leased()
            self._note("holds", sum(each.ack_id in leased for each in held))

    def _do_work(self, work: Work) -> None:
        for call in work.calls:
            self._call(call)
        for confirmed in work.confirmed:
            if confirmed.error is not None:
                self.note("lease_lost", confirmed.delivery, confirmed.error)
            self._handlers.confirm(confirmed.delivery)
        for delivery in work.lost:
            self.note("lease_lost", delivery, "its lease was lost")
        for delivery in work.overdue:
            self.note("abandoned", delivery)
            self._handlers.abandon(delivery, self._core.is_handed)

    def _do_to_streams(self, actions: StreamActions) -> None:
        for stream in actions.open:
            self._open(stream)
        for stream in actions.ping:
            if (opened := self.streams.get(stream)) is not None:
                opened.to_server.send(opened.answer_ping)
        for stream in actions.close:
            self._half_close(stream)

    def _set_timer(self) -> None:
        dues = (self._core.next_due(), self._handlers.next_due())
        due = min((each for each in dues if each is not None), default=None)
        at = None if due is None else due + self._lag
        if self._timer is not None:
            if self._timer.at == at and self._timer.function is not None:
                return
            self._timer.cancel()
        clockwork = self._around.clockwork
        self._timer = None
        if at is not None:
            self._timer = clockwork.at(max(at, clockwork.now + TICK), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._post(self._act)

    # Streams.

    def _open(self, stream: Stream) -> None:
        server = self._around.server
        opened = ServerStream(
            server,
            self.name,
            self.link,
            stream.limit,
            self._core.lease_seconds,
            lambda received: self._post(self._receive, stream, received),
            lambda error: self._post(self._end_stream, stream, error),
        )
        self.streams[stream] = opened
        self._note("opened", stream.limit)
        opened.to_server.send(server.open_stream, opened)

    def _receive(self, stream: Stream, received: list[Received]) -> None:
        if stream not in self.streams:
            return
        deliveries = [
            Delivery(each.ack_id, str(each.number), each.key, each.size, each.attempt)
            for each in received
        ]
        for delivery in deliveries:
            self.note("received", delivery, self._core.lease_seconds)
        self._received += deliveries
        self._is_unavailable = False
        self._core.receive(stream, deliveries, self._now)
        self._act()

    def _half_close(self, stream: Stream) -> None:
        opened = self.streams.get(stream)
        if opened is not None:
            opened.to_server.send(opened.half_close)
            self.later(LAST_MESSAGES, self._cancel, stream)

    def _cancel(self, stream: Stream) -> None:
        opened = self.streams.get(stream)
        if opened is not None:
            opened.to_server.send(self._around.server.lose_stream, opened)
            self._end_stream(stream, "CANCELLED")

    def _end_stream(self, stream: Stream, error: str | None) -> None:
        if self.streams.pop(stream, None) is not None:
            self._note("stream_ended", error)
            self._is_unavailable = error is not None and not self.streams
            self._core.note_ended(stream, self._now)
            self._act()

    def reset(self) -> None:
        """The connection is broken: all that is on it fails."""
        server = self._around.server
        for stream, opened in [*self.streams.items()]:
            server.lose_stream(opened)
            self._post(self._end_stream, stream, "UNAVAILABLE")
        for call in [*self._calls.values()]:
            self._post(self._answer, call, "UNAVAILABLE: connection reset", {})

    # Calls.

    def _call(self, call: Call) -> None:
        network, server = self._around.network, self._around.server
        self._calls[id(call)] = call
        if call.purpose != "extend":
            for delivery in call.deliveries:
                self.note("sent", delivery, call.purpose)
        self.later(CALL_TIMEOUT, self._answer, call, "DEADLINE_EXCEEDED", {})
        if network.happens(network.failed_calls):
            self.later(network.delay(), self._answer, call, "UNAVAILABLE: a fault", {})
        elif not network.happens(network.lost_requests):
            is_late = network.happens(network.late_requests)
            late = CALL_TIMEOUT * (0.5 + 1.2 * network.random.random()) if is_late else 0.0
            self.link.send(self._arrive, server, call, extra=late)

    def _arrive(self, server: Server, call: Call) -> None:
        """At the server: answer a call."""
        network = self._around.network
        if not server.is_up:
            error: str | None = "UNAVAILABLE: the server is down"
            refused: Refused = {}
        elif call.purpose == "ack":
            error, refused = server.acknowledge(call.ack_ids)
        else:
            error, refused = server.modify(call.ack_ids, call.seconds, call.purpose)
        if not network.happens(network.lost_answers):
            self.link.send(self._post, self._answer, call, error, refused)

    def _answer(self, call: Call, error: str | None, refused: Refused) -> None:
        if self._calls.pop(id(call), None) is not None:
            if call.purpose == "extend" and error is None:
                for delivery in call.deliveries:
                    if delivery.ack_id not in refused:
                        self.note("renewed", delivery, call.sent_at + self._lag + call.seconds)
            self._core.note_answer(call, self._now, error=error, refused=refused)
            self._act()

    # Pauses.

    def _pause(self) -> None:
        if self._deadline is None:
            self._note("paused")
            self._core.pause(self._handlers.clear())
            self._act()

    def _go_on(self) -> None:
        if self._deadline is None:
            self._note("resumed")
            self._core.resume(self._now)
            self._act()

    def _change(self, threads: int) -> None:
        if self._deadline is None:
            self._note("threads", threads)
            self._core.set_threads(threads, self._now)
            self._handlers.set_number(threads)
            self._act()

    # Its end.

    def _drain(self, timeout: float) -> None:
        self._deadline = self._now + timeout
        self._note("stopping", self._around.clockwork.now + timeout)
        self._core.drain(self._now, self._handlers.clear())
        self.later(timeout, self._end_if_done)
        self._act()

    def _end_if_done(self) -> None:
        assert self._deadline is not None
        if self._is_unavailable:
            self._core.give_up()
        if self._last_calls_until is None:
            if (self._handlers.running or self.streams) and self._now < self._deadline - TICK:
                return
            self._is_cancelling = self._handlers.cancel()
            self._last_calls_until = self._now + LAST_CALLS
            self.later(LAST_CALLS, self._end_if_done)
            self._core.hurry(self._now)
            self._act()
        elif self._now >= self._last_calls_until - TICK or not self._is_busy:
            self._end()

    @property
    def _is_busy(self) -> bool:
        """Whether Pub/Sub is to be informed, also of what was cancelled and is not reported."""
        is_cancelling = self._is_cancelling and bool(self._handlers.running)
        return self._core.is_busy or bool(self._reports) or is_cancelling

    def _end(self) -> None:
        if self.is_dead:
            return
        self.is_dead = True
        if self._timer is not None:
            self._timer.cancel()
        for delivery in self._handlers.begun:
            self.note("abandoned", delivery)
        self._note("ended")
        for opened in self.streams.values():
            self.link.send(self._around.server.lose_stream, opened)
        self._on_end(self)

    def _note(self, kind: str, detail: object = None) -> None:
        self._around.history.add(self._around.clockwork.now, kind, None, self.name, "", detail)
