"""Everything that is decided about one subscription. No clock, no thread, no gRPC."""

from __future__ import annotations

import random as random_numbers
from collections.abc import Callable, Iterable, Mapping, Sequence

from rele.engine.native.consuming.caution import Caution
from rele.engine.native.consuming.confirmed_receipts import ConfirmedReceipts
from rele.engine.native.consuming.consume_actions import Actions
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.counts import Counts
from rele.engine.native.consuming.delivery import NACK, Delivery, Settled
from rele.engine.native.consuming.dues import earliest
from rele.engine.native.consuming.flow import Flow
from rele.engine.native.consuming.handed import Handed
from rele.engine.native.consuming.lease_calls import Call, Work
from rele.engine.native.consuming.lease_keeper import LeaseKeeper
from rele.engine.native.consuming.lease_times import LeaseTimes
from rele.engine.native.consuming.ordered_keys import OrderedKeys
from rele.engine.native.consuming.ordered_step import Step, asked_delay, is_done
from rele.engine.native.consuming.pull_streams import PullStreams, Stream
from rele.status.snapshot import SubscriptionStatus

_SHARE_A_REQUEST = 16
"""Acks that are worth a request, which costs as much as handling ten small messages. Fewer wait
for others, for 10 ms at most, but not while a handler is idle because of the limit."""


class ConsumeCore:
    """The streams, the messages and their leases of one subscription.

    All times are seconds of one clock. One thread at a time may use it, but for :meth:`begin`.

    Args:
        options: how the subscription is consumed.
        random: a number from 0 to 1.
    """

    def __init__(
        self, options: ConsumerOptions, random: Callable[[], float] = random_numbers.random
    ) -> None:
        once = options.is_exactly_once
        self._options = options
        self._times = LeaseTimes(options.ack_deadline, is_exactly_once=once, random=random)
        self._keeper = LeaseKeeper(
            self._times,
            options.max_lease_duration,
            is_exactly_once=once,
            random=random,
        )
        self._flow = Flow(options)
        pauses = options.first_pause, options.longest_pause
        self._streams = PullStreams(self._flow, options.streams, random, pauses, options.ping_phase)
        self._ordered = OrderedKeys(
            options.max_attempts, together=options.batch_size, is_exactly_once=once
        )
        self._receipts = ConfirmedReceipts()
        self._caution = Caution()
        self._parts = (self._keeper, self._streams, self._flow, self._ordered, self._caution)
        self._ready: list[Delivery] = []
        self.handed = Handed()
        self._is_draining = False
        self._is_paused = False
        self.counts = Counts()

    @property
    def lease_seconds(self) -> int:
        """For how long a message is leased."""
        return self._times.seconds

    @property
    def outstanding(self) -> int:
        """How many messages are not settled."""
        return self._keeper.unsettled

    @property
    def is_busy(self) -> bool:
        """Whether Pub/Sub is still to be informed of a settlement."""
        return self._keeper.is_busy

    def start(self, now: float, within: float = 0.0) -> None:
        """Begin to consume, at a random time ``within`` so many seconds."""
        self._streams.start(now, within)
        self._caution.start(now + within)

    def receive(self, stream: Stream, deliveries: Sequence[Delivery], now: float) -> None:
        """Take what was received on ``stream``: nothing, if it is the answer to a keepalive."""
        self._streams.note_received(stream, now, is_answer=not deliveries)
        self.counts.note_received(deliveries)
        self._keeper.receive(deliveries, now, stream.charge)
        if stream.stalled_since is not None:
            for delivery in deliveries:
                delivery.stalled_since = stream.stalled_since
        if self._is_draining:
            self._nack(deliveries, now)
            return
        if self._options.is_exactly_once:
            self._receipts.expect(deliveries)
        else:
            self._make_ready(deliveries, now)

    def note_ended(self, stream: Stream, now: float, *, is_cut_off: bool = False) -> float | None:
        """Note that ``stream`` has ended.

        Args:
            stream: the stream.
            now: the time.
            is_cut_off: whether this process has ended it, to open another one at once.

        Returns:
            After how many seconds another one is opened; ``None`` if it was to end.
        """
        return self._streams.note_ended(stream, now, is_cut_off=is_cut_off)

    def note_blocked(self, seconds: float) -> None:
        """Note that nothing could be received or sent for the last ``seconds``."""
        self._streams.note_blocked(seconds)

    def begin(self, delivery: Delivery, now: float) -> bool:
        """Whether a handler may begin with ``delivery``; if so, it begins now.

        Nothing is begun whose lease has ended: it is redelivered.
        """
        if (
            self._is_draining
            or delivery.is_lost
            or delivery.settled is not None
            or delivery.lease_ends_at <= now
        ):
            return False
        delivery.begun_at = now
        return True

    def begin_together(self, batch: Iterable[Delivery], now: float) -> list[Delivery]:
        """Let a handler begin with those of ``batch`` that :meth:`begin` allows; return them.

        Nothing of a key is begun after what may not be begun.
        """
        begun: list[Delivery] = []
        refused_keys: set[str] = set()
        for delivery in batch:
            if delivery.key not in refused_keys and self.begin(delivery, now):
                begun.append(delivery)
            elif delivery.key:
                refused_keys.add(delivery.key)
        return begun

    def ack_together(self, deliveries: Iterable[Delivery], now: float) -> None:
        """Note that ``deliveries`` were acked, as :meth:`settle` does for one."""
        self._keeper.ack_together(deliveries, now)

    def finish_together(self, batch: Sequence[Delivery], now: float) -> None:
        """As :meth:`finish` for all of ``batch``, in their order."""
        self.counts.note_returned(batch, now)
        for delivery in batch:
            if delivery.key or delivery.settled is None:
                self.finish(delivery, now)
            else:
                delivery.message = delivery.received = delivery.coroutine = None
        self.handed.difference_update(batch)

    def settle(self, delivery: Delivery, settled: Settled, now: float) -> None:
        """Note how ``delivery`` was settled; the first call counts."""
        self._keeper.settle(delivery, settled, now)
        if settled.kind not in ("ack", "extend"):
            self._caution.note_failed(delivery, now)

    def finish(self, delivery: Delivery, now: float) -> None:
        """Note that the handler of ``delivery`` has returned, or was not begun."""
        if delivery not in self.handed:  # it was withdrawn
            return
        self.handed.discard(delivery)
        # They refer to each other, which only the garbage collector would end.
        delivery.message = delivery.received = delivery.coroutine = None
        if delivery.settled is None and (delivery.begun_at is None or self._is_draining):
            self._leave(delivery, now)
        if delivery.key and not self._is_draining:
            step = self._step_after(delivery, now)
            self._settle_copies(step.copies, delivery.settled or NACK, now)
            self._take(step, now)

    def is_handed(self, delivery: Delivery) -> bool:
        """Whether ``delivery`` is to be handled, or is being handled."""
        return delivery in self.handed

    def note_answer(
        self, call: Call, now: float, *, error: str | None, refused: Mapping[str, str]
    ) -> None:
        """Note the end of a call."""
        if call.purpose == "extend" and error is None:
            self.counts.leases_extended += len(call.deliveries) - len(refused)
        self._keeper.note_answer(call, now, error=error, refused=refused)
        if self._options.is_exactly_once and not self._is_draining:
            confirmed = self._keeper.take_confirmed_receipts()
            self._make_ready(self._receipts.in_order(confirmed), now)

    def drain(self, now: float, not_begun: Iterable[Delivery] = ()) -> int:
        """Hand out no more messages, and nack what no handler has begun with.

        Args:
            now: the time.
            not_begun: what was handed to the handlers, and no handler will begin with.

        Returns:
            how many messages are nacked.
        """
        self._is_draining = True
        self._streams.drain()
        self.handed.difference_update(not_begun)
        return self._nack_not_begun(now)

    def pause(self, not_begun: Sequence[Delivery]) -> None:
        """Hand out no more messages and close the streams; then nack what no handler has begun.

        Not before: what is nacked while a stream is open may be redelivered on it, and would be
        nacked again.

        Args:
            not_begun: what was handed to the handlers, and no handler will begin with.
        """
        self._is_paused = True
        self._streams.drain()
        self.handed.difference_update(not_begun)
        self._ready[:0] = [*not_begun, *self._caution.clear()]

    def resume(self, now: float) -> None:
        """Consume again after :meth:`pause`."""
        if self._is_paused:
            self._is_paused = False
            self._flow.change(self._options, now)
            self._streams.start(now)

    def set_threads(self, threads: int, now: float) -> None:
        """Let so many messages, or batches, be handled at a time from now on."""
        self._options = self._options.with_threads(threads)
        self._flow.change(self._options, now)
        self._streams.resize(now)

    def give_up(self) -> None:
        """Wait for no confirmation any more: Pub/Sub is unavailable, and the worker stops."""
        self._keeper.give_up()

    def hurry(self, now: float) -> None:
        """Inform Pub/Sub at the next :meth:`act` of what was settled."""
        self._keeper.settled.hurry(now)

    def act(self, now: float) -> Actions:
        """Decide what to do now."""
        self._set_limits(now)
        self._ordered.is_cautious = self._caution.lasts(now)
        # So that Pub/Sub delivers more before the handlers have nothing to do.
        self._keeper.settled.enough = max(self._flow.limit // 4, _SHARE_A_REQUEST)
        if self._flow.is_blocked:
            self._keeper.settled.hurry(now)
        is_idle = self._is_paused and not self._is_draining
        not_begun = self._nack_not_begun(now) if is_idle and self._streams.are_closed else 0
        work = self._keeper.act(now)
        self.counts.leases_lost += len(work.lost)
        if (work.lost or work.overdue) and not self._is_draining:
            self._go_on_after([*work.lost, *work.overdue], now)
            self._abandon(work.overdue, now)
        if self._ordered.unanswered:
            self._note_answered(work, now)
        self._ready += self._ordered.resume(now)
        shed = self._see_to_held(work, now) if self._ordered.is_holding else 0
        ready = [] if is_idle else self._take_ready(now)
        return Actions(work, self._streams.act(now), ready, shed, not_begun)

    def status(self, now: float) -> SubscriptionStatus:
        """From any thread: how the subscription is consumed, as far as it is decided here."""
        counts, refused_since = self.counts, self._streams.refused_since
        leased = self._keeper.outstanding.copy().values()
        return SubscriptionStatus(
            name="",
            topic="",
            threads=self._options.threads,
            is_paused=self._is_paused,
            refused_for=None if refused_since is None else now - refused_since,
            longest_running=self.handed.longest_running(now),
            outstanding=self._keeper.unsettled,
            outstanding_bytes=sum(each.size for each in leased if each.settled is None),
            limit=self._flow.limit,
            is_at_limit=self._streams.is_full,
            received=counts.received,
            redelivered=counts.redelivered,
            leases_extended=counts.leases_extended,
            leases_lost=counts.leases_lost,
            idle_for=None if counts.handled_at is None else now - counts.handled_at,
        )

    def next_due(self) -> float | None:
        """When to call :meth:`act` at the latest; ``None``: not before the next event."""
        return earliest(*[part.next_due() for part in self._parts])

    def _take_ready(self, now: float) -> list[Delivery]:
        """What is handed to the handlers now."""
        ready = self._caution.admit(self._ready, now, self._keeper.is_done)
        self._ready = []
        self.handed.update(ready)
        return ready

    def _nack_not_begun(self, now: float) -> int:
        """Nack all that no handler has begun with; return how many messages that are."""
        before = self._keeper.unsettled
        ready, self._ready = self._ready, []
        self._take(self._ordered.leave(ready, now), now)
        outstanding = self._keeper.outstanding.values()
        self._nack([each for each in outstanding if each not in self.handed], now)
        return before - self._keeper.unsettled

    def _step_after(self, delivery: Delivery, now: float) -> Step:
        """What happens to the key of ``delivery``, whose handler has returned."""
        if is_done(delivery, self._options.is_exactly_once):
            return self._ordered.succeed(delivery, now)
        delay, is_known = asked_delay(delivery, now), self._keeper.is_done(delivery)
        return self._ordered.fail(delivery, now, delay, is_known=is_known)

    def _set_limits(self, now: float) -> None:
        if self._streams.is_clogged:
            self._flow.grow(now)
            self._streams.resize(now)
        elif self._flow.observe(
            now,
            is_full=self._streams.is_full,
            is_short=self._streams.is_short,
            handed=len(self.handed) + len(self._ready),
            outstanding=self._keeper.unsettled,
        ):
            self._streams.resize(now)

    def _leave(self, delivery: Delivery, now: float) -> None:
        """Have ``delivery`` redelivered, with which no handler has begun."""
        if delivery.lease_ends_at <= now:
            self._keeper.lose([delivery])
        elif not delivery.is_lost:
            self._nack([delivery], now)

    def _make_ready(self, deliveries: Iterable[Delivery], now: float) -> None:
        for delivery in deliveries:
            if delivery.key:
                self._take(self._ordered.receive(delivery, now), now)
            else:
                self._ready.append(delivery)

    def _take(self, step: Step, now: float) -> None:
        self._nack(step.nack, now)
        self._keeper.lose(step.replaced)
        if step.withdrawn:
            self._withdraw(step.withdrawn)
        self._ready += step.ready

    def _withdraw(self, deliveries: Sequence[Delivery]) -> None:
        """Handle ``deliveries`` not now; some of them may only have become ready just now."""
        self._ready = [each for each in self._ready if each not in deliveries]
        self.handed.difference_update(deliveries)
        for delivery in deliveries:
            delivery.begun_at = None

    def _nack(self, deliveries: Iterable[Delivery], now: float) -> None:
        for delivery in deliveries:
            self._keeper.settle(delivery, NACK, now)

    def _settle_copies(self, copies: Iterable[Delivery], settled: Settled, now: float) -> None:
        """Settle redelivered messages, which must not be handled again, as they were before."""
        for copy in copies:
            self._keeper.settle(copy, Settled(settled.kind, settled.seconds), now)

    def _go_on_after(self, ended: Iterable[Delivery], now: float) -> None:
        """Let what follows ``ended`` no longer wait for the confirmations of their receipts."""
        for key in dict.fromkeys(delivery.key for delivery in ended):
            if key:
                self._make_ready(self._receipts.next_of(key), now)

    def _note_answered(self, work: Work, now: float) -> None:
        """Let the keys go on that wait for an answer."""
        for delivery, error in work.ended:
            step = self._ordered.note_answered(delivery, error, now)
            self._settle_copies(step.copies, delivery.settled or NACK, now)
            self._take(step, now)

    def _abandon(self, deliveries: Iterable[Delivery], now: float) -> None:
        """Let the keys go on of handlers that may never return."""
        for delivery in deliveries:
            if delivery.key:
                step = self._ordered.abandon(delivery, now)
                self._settle_copies(step.copies, NACK, now)
                self._take(step, now)

    def _see_to_held(self, work: Work, now: float) -> int:
        """Hold messages behind failed ones no longer, and no more of them, than is good.

        Returns:
            How many were nacked to keep room for other keys.
        """
        for each in work.confirmed:
            self._ordered.note_known(each.delivery, now)
        self._nack(self._ordered.expire(now), now)
        self._nack(shed := self._ordered.shed(max(self._options.max_messages // 2, 1), now), now)
        return len(shed)
