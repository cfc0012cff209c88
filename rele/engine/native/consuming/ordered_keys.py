"""The order of messages with an ordering key, also if a handler fails. No clock, no thread."""

from __future__ import annotations

from collections.abc import Iterable

from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.ordered_key import IN_TRANSIT, NEVER, OrderedKey, Place
from rele.engine.native.consuming.ordered_step import (
    COPIES_WITHIN,
    LONGEST_BACKOFF,
    MOST_REFUSED,
    PATIENCE,
    SHED_EVERY,
    Step,
    are_new,
    ended_at,
    is_acked,
    is_done,
    is_last,
)


class OrderedKeys:
    """Decides which deliveries of a key are handled next.

    Each message keeps its place in the order in which its key was received, until it was acked. So
    nothing is handled before an earlier message that was received, and then failed, or was nacked,
    or whose lease was lost: that one is missing until it is redelivered. Pub/Sub redelivers it
    before what follows it. So if something that follows arrives long after Pub/Sub knew of the
    failure, another worker has settled the missing one. If it arrives sooner, it may have been sent
    before: it is held, and then nacked, so that all is redelivered in order.

    Without a dead-letter policy, what follows a failed message is nacked with it. With a policy, a
    nack would count as a delivery attempt of messages that did not fail, so they are held until the
    failed one is redelivered. They are held as well behind a message that is delayed, since Pub/Sub
    would redeliver them before it.

    Args:
        max_attempts: of the dead-letter policy; ``None`` without one.
        together: how many messages of a key a handler may have at a time. Whoever handles them sees
            to it that they are settled in their order.
        is_exactly_once: whether it is known of each ack that Pub/Sub has accepted or refused it.
    """

    def __init__(
        self,
        max_attempts: int | None = None,
        together: int = 1,
        *,
        is_exactly_once: bool = False,
    ) -> None:
        self._max_attempts = max_attempts
        self._together = together
        self._is_exactly_once = is_exactly_once
        self._keys: dict[str, OrderedKey] = {}
        self._holding: dict[str, OrderedKey] = {}
        """Those of which messages are missing."""
        self._resuming: dict[str, OrderedKey] = {}
        """Those whose next message may be redelivered soon."""
        self.unanswered: set[Delivery] = set()
        """Last attempts that were nacked, and copies that were acked for what was handled: they
        keep their places until Pub/Sub has answered."""
        self.is_cautious = False
        """Whether what was delivered before is handled without others of its key."""
        self._is_excess = False
        self._shed_at = 0.0
        """When too many held messages are removed, if there are."""

    def receive(self, delivery: Delivery, now: float) -> Step:
        """Take a delivery that was received."""
        key = self._keys.get(delivery.key)
        if key is None:
            key = self._keys[delivery.key] = OrderedKey(delivery.key)
        running = key.handed.get(delivery.message_id)
        if running is not None:
            running.copies.append(delivery)
            return Step()
        place, older = key.place(delivery)
        replaced = [] if older is None else [older]
        if delivery.is_lost or delivery.settled is not None:
            self._miss(place, key, now)  # it is redelivered once more
            self._file(key)
            return Step(replaced=replaced)
        if key.missing:
            key.forget_if_over()
        if place.has_failed:
            key.expect_copies(now + COPIES_WITHIN)
            place.stale_until = 0.0
        return Step(ready=self._next(key, now), replaced=replaced)

    def succeed(self, delivery: Delivery, now: float) -> Step:
        """Note that ``delivery`` was acked."""
        key, place = self._handed(delivery)
        if key is None or place is None:
            return Step()
        del key.handed[delivery.message_id]
        return Step(ready=self._go_on(key, now), copies=place.copies)

    def fail(
        self, delivery: Delivery, now: float, delay: float | None = None, *, is_known: bool = False
    ) -> Step:
        """Note that ``delivery`` was not acked, or that its lease was lost.

        Args:
            delivery: the one that failed.
            now: the time.
            delay: the seconds until its redelivery that its handler has asked for, if it has. If
                its lease was lost, that is what happens to a newer delivery of the message.
            is_known: whether Pub/Sub knows already how it was settled.
        """
        key, place = self._handed(delivery)
        if key is None or place is None:
            return Step()
        copies = place.copies
        if is_acked(delivery) and copies and not copies[-1].is_lost:
            return self._ack_copies(delivery, place, now)
        withdrawn, replaced = self._withdraw(place, key, now)
        if self._is_exactly_once and is_acked(delivery):
            place.refused += 1
            if place.refused >= MOST_REFUSED:  # since what comes before it waits behind it here
                nack = key.start_over()
                return Step(nack, self._next(key, now), replaced, withdrawn, copies)
        older = place.take_newest()
        if delivery.settled is None and older:  # it was not begun: its copy is handled instead
            key.put_back([place])
            ready = self._next(key, now)
            return Step(ready=ready, replaced=[*replaced, *older[1:]], withdrawn=withdrawn)
        is_known, is_nacked = is_known and not older, delivery.settled is not None
        nack = self._hold(place, key, now, delay, is_known=is_known, is_nacked=is_nacked)
        ready = self._go_on(key, now)
        return Step(nack, ready, replaced, withdrawn, copies)

    def note_answered(self, delivery: Delivery, error: str | None, now: float) -> Step:
        """Note the answer to a settlement for which a key waits; ``error``: it has no effect."""
        if delivery not in self.unanswered:
            return Step()
        self.unanswered.discard(delivery)
        if error is not None:
            return self.fail(delivery, now)
        key, place = self._handed(delivery)
        if key is not None and place is not None and not is_acked(delivery):
            key.expect_copies(now + COPIES_WITHIN)
        return self.succeed(delivery, now)

    def abandon(self, delivery: Delivery, now: float) -> Step:
        """Go on without the end of a handler that may never return.

        Args:
            delivery: what was outstanding for too long: what the handler has, or a copy of it, or
                what waits for it, where the lease of what the handler has was lost.
            now: the time.
        """
        key = self._keys.get(delivery.key)
        if key is None or not key.handed:
            return Step()
        # The first of a batch is the one to wait for, whichever is known to be overdue first.
        first = next(iter(key.handed.values())).delivery
        if first.received_at > delivery.received_at:
            return Step()
        step = self.fail(first, now)
        step.nack.insert(0, first)
        return step

    def note_known(self, delivery: Delivery, now: float) -> None:
        """Note that Pub/Sub knows that ``delivery`` failed, or that its lease was lost."""
        key = self._holding.get(delivery.key)
        place = key.waiting.get(delivery.message_id) if key is not None else None
        if place is not None and place.is_missing and place.delivery is delivery:
            place.note_known(max(now, ended_at(delivery, now)))

    def resume(self, now: float) -> list[Delivery]:
        """What is to be handled now, since it was not redelivered."""
        due = [key for key in self._resuming.values() if key.resumes_at <= now]
        return [delivery for key in due for delivery in self._next(key, now)]

    def shed(self, most: int, now: float) -> list[Delivery]:
        """Now and then, the newest that are held but for ``most``; the caller nacks them."""
        excess = self.held - most
        self._is_excess = excess > 0
        if not self._is_excess or now < self._shed_at:
            return []
        self._shed_at = now + SHED_EVERY
        self._is_excess = False
        shed: list[Delivery] = []
        for key in self._holding.values():
            if key.held and excess > 0:
                newest = [place for place, _ in zip(key.present(), range(excess), strict=False)]
                excess -= len(newest)
                shed += self._nack(newest, key, now)
        return shed

    def expire(self, now: float) -> list[Delivery]:
        """Wait no longer for what was missing for the longest time; return what was held behind it.

        Another worker has got the message that failed. Where the others do not follow it any more,
        they are redelivered at once. Until then nothing that follows them is handled.
        """
        expired: list[Delivery] = []
        for key in [*self._holding.values()]:
            first = key.first
            if first is None or not first.is_missing or key.handed:
                continue
            if key.held and first.until <= now:
                first.is_decided = True
                first.until = now + IN_TRANSIT
                expired += self._nack_held(key, now)
            elif not key.held and key.missing_until + LONGEST_BACKOFF <= now:
                key.forget_missing()
            self._file(key)
        return expired

    def leave(self, not_begun: Iterable[Delivery], now: float) -> Step:
        """Have all redelivered, in its order, that waits for its turn.

        Args:
            not_begun: what was handed out as well, and no handler will begin with.
            now: the time.
        """
        step, unbegun = Step(), set(not_begun)
        for key in [*self._keys.values()]:
            places = [place for place in key.handed.values() if place.delivery in unbegun]
            for place in places:
                del key.handed[place.delivery.message_id]
                step.replaced.extend(place.take_newest())
            key.put_back(places)
            step.nack.extend(self._nack_held(key, now))
            self._file(key)
        return step

    def next_due(self) -> float | None:
        """When to call :meth:`expire` and :meth:`resume`; ``None``: not before something fails."""
        times = [key.resumes_at for key in self._resuming.values()]
        for key in self._holding.values():
            first = key.first
            if first is not None and first.is_missing and not key.handed:
                times.append(first.until if key.held else key.missing_until + LONGEST_BACKOFF)
        if self._is_excess and self._holding:
            times.append(self._shed_at)
        return min(times, default=None)

    @property
    def is_holding(self) -> bool:
        """Whether anything has failed that was not redelivered yet."""
        return bool(self._holding)

    @property
    def held(self) -> int:
        """How many deliveries are held behind missing messages."""
        return sum(key.held for key in self._holding.values())

    def _handed(self, delivery: Delivery) -> tuple[OrderedKey | None, Place | None]:
        """The place of what a handler has, unless it was withdrawn meanwhile."""
        key = self._keys.get(delivery.key)
        place = key.handed.get(delivery.message_id) if key is not None else None
        return key, place if place is not None and place.delivery is delivery else None

    def _go_on(self, key: OrderedKey, now: float) -> list[Delivery]:
        """Hand out what comes next, after the end of a handler."""
        ready = self._next(key, now)
        if self._holding and not key.handed and (first := key.first) is not None:
            # Pub/Sub may have waited for the end of what went before.
            first.until = max(first.until, now + IN_TRANSIT)
        return ready

    def _next(self, key: OrderedKey, now: float) -> list[Delivery]:
        """Hand out what comes next, as far as it may be handled now."""
        ready: list[Delivery] = []
        waits = key.last_attempt is not None and now < key.blocked_until
        if not waits:
            key.last_attempt = None
        while not waits and (place := key.first) is not None and not place.is_missing:
            if key.handed and not self._goes_with(place, key.handed):
                break
            waits = now < place.stale_until
            if not waits:
                key.waiting.popitem(last=False)
                key.handed[place.delivery.message_id] = place
                ready.append(place.delivery)
        if waits:
            self._resuming[key.name] = key
        elif self._resuming:
            self._resuming.pop(key.name, None)
        self._file(key)
        return ready

    def _goes_with(self, place: Place, handed: dict[str, Place]) -> bool:
        """Whether a handler may have ``place`` together with those that were handed out."""
        if len(handed) >= self._together or place.has_failed:
            return False
        before = next(iter(handed.values()))
        if before.has_failed:
            return False
        return not self.is_cautious or are_new(before.delivery, place.delivery)

    def _file(self, key: OrderedKey) -> None:
        """Note whether messages of ``key`` are missing, and forget it if there is nothing left."""
        if key.missing:
            self._holding[key.name] = key
        elif self._holding:
            self._holding.pop(key.name, None)
        if not (key.waiting or key.handed) and key.name not in self._resuming:
            del self._keys[key.name]

    def _ack_copies(self, delivery: Delivery, place: Place, now: float) -> Step:
        """Have the newest copy of what was handled acked instead, whose own lease was lost.

        With exactly-once delivery the answer decides.
        """
        if not self._is_exactly_once:
            return self.succeed(delivery, now)
        copies = [*place.copies]
        place.take_newest()
        self._await_answer(place)
        return Step(copies=copies)

    def _await_answer(self, place: Place) -> None:
        """Let nothing go with ``place``, nor follow it, until Pub/Sub has answered."""
        place.has_failed = True
        self.unanswered.add(place.delivery)

    def _withdraw(
        self, failed: Place, key: OrderedKey, now: float
    ) -> tuple[list[Delivery], list[Delivery]]:
        """Take all that was handed out; let what follows ``failed`` wait again.

        Returns:
            What is withdrawn, and what of it has newer deliveries.
        """
        followers = [place for place in key.handed.values() if place is not failed]
        withdrawn = [place.delivery for place in followers]
        key.handed.clear()
        left = [place for place in followers if not is_done(place.delivery, self._is_exactly_once)]
        older = [delivery for place in left for delivery in place.take_newest()]
        key.put_back(left)
        for place in left:
            if is_acked(place.delivery):
                self._miss(place, key, now)
            elif (settled := place.delivery.settled) is not None:
                ended_at = now + settled.seconds
                key.miss(place, NEVER, ended_at + LONGEST_BACKOFF, is_decided=True)
        return withdrawn, [delivery for delivery in older if delivery.settled is None]

    def _hold(
        self,
        place: Place,
        key: OrderedKey,
        now: float,
        delay: float | None,
        *,
        is_known: bool,
        is_nacked: bool,
    ) -> list[Delivery]:
        """Hold what follows ``place``, which has failed; return what is nacked with it."""
        failed = place.delivery
        if failed.is_lost:
            delay = None
        if is_last(failed, self._max_attempts) and not failed.is_lost:
            # It goes to the dead-letter topic.
            if delay is None and is_nacked:
                key.handed[failed.message_id] = place
                self._await_answer(place)
                return []
            key.expect_copies(now + COPIES_WITHIN)
            if delay:
                key.block(failed, now + delay)
            return []
        key.put_back([place])
        place.has_failed = True
        if delay is not None:
            until = now + delay + PATIENCE
            key.miss(place, until - IN_TRANSIT, until, is_decided=False)
            return []
        self._miss(place, key, now, is_known=is_known or failed.is_lost)
        return [] if self._max_attempts is not None else self._nack_held(key, now)

    def _miss(self, place: Place, key: OrderedKey, now: float, *, is_known: bool = True) -> None:
        """Wait for the redelivery of ``place``, whose lease has ended, or ends soon."""
        if self._max_attempts is not None:
            # After a last attempt whose lease was lost it may be a dead letter, or be redelivered:
            # Pub/Sub does not count a lease that the failure of an earlier message has ended.
            backoff = 0.0 if is_last(place.delivery, self._max_attempts) else LONGEST_BACKOFF
            until = now + backoff + PATIENCE
            key.miss(place, NEVER, until, is_decided=False)
        else:
            key.miss(place, NEVER, now + LONGEST_BACKOFF, is_decided=True)
        if is_known:
            place.note_known(ended_at(place.delivery, now))

    def _nack_held(self, key: OrderedKey, now: float) -> list[Delivery]:
        return self._nack(reversed([*key.present()]), key, now)

    def _nack(self, places: Iterable[Place], key: OrderedKey, now: float) -> list[Delivery]:
        """Have ``places``, which wait, redelivered after what comes before them."""
        nacked = [*places]
        for place in nacked:
            key.miss(place, NEVER, now + LONGEST_BACKOFF, is_decided=True)
            if place.delivery.settled is not None:
                place.note_known(ended_at(place.delivery, now))
        return [place.delivery for place in nacked]
