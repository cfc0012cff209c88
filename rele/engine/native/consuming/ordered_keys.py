"""The order of messages with an ordering key, also if a handler fails. No clock, no thread."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile

from rele.engine.native.consuming.delivery import Delivery

LONGEST_BACKOFF = 600.0
"""Seconds of the longest backoff that a retry policy can have."""

PATIENCE = 60.0
"""Seconds for which a message may be late that is to be redelivered.

After that another worker must have got it, and what is held behind it is nacked.
"""

IN_TRANSIT = 5.0
"""Seconds for which messages may arrive that Pub/Sub sent before it knew of a failure."""

SHED_EVERY = 1.0
"""Seconds between two times that held messages are nacked since there are too many of them."""

COPIES_WITHIN = 0.5
"""Seconds for which what was held is not handled, unless it is redelivered meanwhile.

Pub/Sub redelivers it after the message that failed: its leases have ended then, and what is handled
of it would be handled again. Google's emulator does not redeliver it.
"""


@dataclass
class OrderedKey:
    """The deliveries of one ordering key."""

    waiting: deque[Delivery] = field(default_factory=deque)
    handed: dict[str, Delivery] = field(default_factory=dict)
    """What was given to a handler, in order, by message id."""
    failed_id: str | None = None
    """The id of the message that failed, until it is redelivered: the others are held behind it."""
    earlier_ids: set[str] = field(default_factory=set)
    """The ids of messages that failed before, and were not redelivered in time."""
    nacked_ids: set[str] = field(default_factory=set)
    """The ids of messages of which the first that is redelivered, after the nack, goes first."""
    is_probed: bool = False
    """Whether the failed one was redelivered, and is handled without the others."""
    held_until: float = 0.0
    is_nacked: bool = False
    """Whether the others were nacked, so that what arrives was sent before that, or is sent since
    another worker has settled the failed one."""
    nacked_at: float = 0.0
    """When it was confirmed that Pub/Sub knows of that."""
    shed: int = 0
    """How many of those that wait were nacked, since too many were held. They keep their places."""
    stale_ids: set[str] = field(default_factory=set)
    """The ids of those that were held, and may be redelivered until ``resumed_at``."""
    resumed_at: float = 0.0
    blocked_until: float = 0.0
    """When a message that was delayed after its last attempt is forwarded to the dead-letter topic:
    until then Pub/Sub accepts no ack of those that follow it, if delivery is exactly once."""

    def awaits(self, message_id: str) -> bool:
        """Whether the key goes on with this message."""
        if message_id in self.nacked_ids:
            return self.nacked_at > 0.0
        return message_id == self.failed_id or message_id in self.earlier_ids

    @property
    def next_at(self) -> float:
        """When the next message may be handled at the latest, if it waits for time alone."""
        return max(self.resumed_at, self.blocked_until)


@dataclass(frozen=True)
class Step:
    """What happens to the deliveries of a key now."""

    nack: list[Delivery] = field(default_factory=list)
    """What is to be nacked."""
    ready: list[Delivery] = field(default_factory=list)
    """What is to be handled, in this order."""
    replaced: Delivery | None = None
    """An older delivery of a message that was redelivered: its lease has ended."""
    withdrawn: list[Delivery] = field(default_factory=list)
    """What was to be handled, but is not any more."""
    copies: list[Delivery] = field(default_factory=list)
    """Newer deliveries of the message that was handled just now, to be settled as it was."""


class OrderedKeys:
    """Decides which deliveries of a key are handled next.

    What is outstanding behind a failed message must not be handled before that message. Without a
    dead-letter policy it is nacked as well, and Pub/Sub redelivers all of it in order. What arrives
    before the failed one is held for some seconds, since it may have been sent before the nack.
    With a policy, a nack would count as a delivery attempt of messages that did not fail, so they
    are held until the failed one is redelivered. They are held as well behind a message that is
    delayed, since Pub/Sub would redeliver them before it.

    Args:
        max_attempts: of the dead-letter policy; ``None`` without one.
        together: how many messages of a key a handler may have at a time. Whoever handles them sees
            to it that they are settled in their order.
    """

    def __init__(self, max_attempts: int | None = None, together: int = 1) -> None:
        self._max_attempts = max_attempts
        self._together = together
        self._keys: dict[str, OrderedKey] = {}
        self._failed: dict[str, OrderedKey] = {}
        """Those whose messages are held."""
        self.is_cautious = False
        """Whether what was delivered before is handled without others of its key."""
        self._is_excess = False
        self._shed_at = 0.0
        """When too many held messages are removed, if there are."""
        self._resuming: dict[str, OrderedKey] = {}
        """Those whose next message may be redelivered soon."""

    def receive(self, delivery: Delivery, now: float) -> Step:
        """Take a delivery that was received now."""
        key = self._keys.setdefault(delivery.key, OrderedKey())
        is_awaited = key.awaits(delivery.message_id)
        if is_awaited and delivery.is_lost and key.failed_id is not None:
            return Step()  # it is redelivered once more
        if is_awaited and key.failed_id is None:
            key.earlier_ids.clear()
        elif is_awaited:
            stale = _take_waiting(key) if key.is_nacked else []
            if stale and key.earlier_ids:  # what is stale was sent before, or goes before it
                return Step(nack=self._nack_all([*stale, delivery], key, now))
            self._end_hold(delivery.key, key)
            key.is_probed = True
            _expect_copies(key, now)
            key.handed[delivery.message_id] = delivery
            return Step(nack=stale, ready=[delivery])
        if key.is_nacked and delivery.received_at < key.nacked_at:
            return Step(nack=[delivery])
        replaced = _wait(key, delivery)
        key.stale_ids.discard(delivery.message_id)
        return Step(ready=self._next(delivery.key, key, now), replaced=replaced)

    def succeed(self, delivery: Delivery, now: float) -> Step:
        """Note that ``delivery`` was acked."""
        key = self._keys.get(delivery.key)
        if key is None or key.handed.get(delivery.message_id) is not delivery:
            return Step()
        copies = _take_copies(key, delivery)
        del key.handed[delivery.message_id]
        key.is_probed = False
        return Step(ready=self._next(delivery.key, key, now), copies=copies)

    def fail(self, delivery: Delivery, now: float, delay: float | None = None) -> Step:
        """Note that ``delivery`` was not acked, or that its lease was lost.

        Args:
            delivery: the one that failed.
            now: the time.
            delay: the seconds until its redelivery that its handler has asked for, if it has. If
                its lease was lost, that is what happens to a newer delivery of the message.
        """
        key = self._keys.get(delivery.key)
        if key is None or key.handed.get(delivery.message_id) is not delivery:
            return Step()
        copies = _take_copies(key, delivery)
        del key.handed[delivery.message_id]
        followers = list(key.handed.values())
        key.handed.clear()
        key.is_probed = False
        if delivery.settled is None and copies:  # it was not begun: its copy is handled instead
            key.waiting.extendleft(reversed([*copies, *followers]))
            return Step(ready=self._next(delivery.key, key, now), withdrawn=followers)
        if delivery.is_lost and all(copy.is_lost for copy in copies):
            delay = None
        if self._max_attempts is None and delay is None:
            self._hold_nacked(delivery, key, now + _nacked_for(delivery))
            nack = [*followers, *_take_waiting(key)]
            return Step(nack=nack, withdrawn=followers, copies=copies)
        key.waiting.extendleft(each for each in reversed(followers) if each.settled is None)
        if self._max_attempts is not None and (delivery.attempt or 0) >= self._max_attempts:
            # The failed one goes to the dead-letter topic.
            _expect_copies(key, now)
            key.blocked_until = now + delay + COPIES_WITHIN if delay else now
            ready = self._next(delivery.key, key, now)
            return Step(ready=ready, withdrawn=followers, copies=copies)
        self._hold(delivery, key, now + (LONGEST_BACKOFF if delay is None else delay) + PATIENCE)
        return Step(withdrawn=followers, copies=copies)

    def abandon(self, delivery: Delivery, now: float) -> Step:
        """Go on without the end of a handler that may never return.

        Args:
            delivery: what was outstanding for too long: what the handler has, or a copy of it.
            now: the time.
        """
        key = self._keys.get(delivery.key)
        if key is None or delivery.message_id not in key.handed:
            return Step()
        # The first of a batch is the one to wait for, whichever is known to be overdue first.
        first = next(iter(key.handed.values()))
        step = self.fail(first, now)
        step.nack.insert(0, first)
        return step

    def note_confirmed(self, delivery: Delivery, now: float) -> list[Delivery]:
        """Note that Pub/Sub knows that ``delivery`` failed; return what was sent before that."""
        key = self._failed.get(delivery.key)
        if key is None or not key.is_nacked or key.failed_id != delivery.message_id:
            return []
        key.nacked_at = now
        key.held_until = now + IN_TRANSIT
        return _take_waiting(key)

    def resume(self, now: float) -> list[Delivery]:
        """What is to be handled now, since it was not redelivered."""
        due = [(name, key) for name, key in self._resuming.items() if key.next_at <= now]
        return [delivery for name, key in due for delivery in self._next(name, key, now)]

    def shed(self, most: int, now: float) -> list[Delivery]:
        """The newest deliveries that are held, but for ``most`` of them; the caller nacks them.

        They are redelivered soon, so this happens only now and then.
        """
        excess = self.held - most
        self._is_excess = excess > 0
        if not self._is_excess or now < self._shed_at:
            return []
        self._shed_at = now + SHED_EVERY
        self._is_excess = False
        shed: list[Delivery] = []
        for key in self._failed.values():
            newest = [each for each in reversed(key.waiting) if each.settled is None]
            shed += newest[:excess]
            key.shed += len(newest[:excess])
            excess -= len(newest[:excess])
        return shed

    def expire(self, now: float) -> list[Delivery]:
        """Remove the deliveries that were held for the longest time; return them.

        Another worker has got the message that failed. Where they do not follow it any more, they
        are redelivered at once. Until then nothing that follows them is handled.
        """
        expired: list[Delivery] = []
        for name, key in list(self._failed.items()):
            if key.held_until > now:
                continue
            key.earlier_ids.add(key.failed_id or "")
            if waiting := _take_waiting(key):
                expired += self._nack_all(waiting, key, now)
            else:  # it may yet be redelivered late, when another one of the key has failed
                key.failed_id, key.is_nacked = None, False
                key.nacked_ids.clear()
                del self._failed[name]
                key.resumed_at = now + PATIENCE
                self._resuming[name] = key
        return expired

    def next_due(self) -> float | None:
        """When to call :meth:`expire` and :meth:`resume`; ``None``: not before something fails."""
        times = [key.held_until for key in self._failed.values()]
        times += [key.next_at for key in self._resuming.values()]
        if self._is_excess and self._failed:
            times.append(self._shed_at)
        return min(times, default=None)

    @property
    def is_holding(self) -> bool:
        """Whether anything has failed that was not redelivered yet."""
        return bool(self._failed)

    @property
    def held(self) -> int:
        """How many deliveries are held behind failed messages."""
        return sum(len(key.waiting) - key.shed for key in self._failed.values())

    def _next(self, name: str, key: OrderedKey, now: float) -> list[Delivery]:
        self._resuming.pop(name, None)
        ready: list[Delivery] = []
        if key.failed_id is not None:
            return ready
        if now < key.blocked_until:
            self._resuming[name] = key
            return ready
        most = 1 if key.is_probed else self._together
        while len(key.handed) < most and key.waiting:
            delivery = key.waiting[0]
            if delivery.message_id in key.handed:  # a copy: one after the other
                break
            if self.is_cautious and key.handed:
                before = next(iter(key.handed.values()))
                if _was_delivered(before) or _was_delivered(delivery):
                    break
            if delivery.message_id in key.stale_ids and now < key.resumed_at:
                self._resuming[name] = key
                return ready
            key.waiting.popleft()
            if delivery.settled is not None:  # it was shed, and is redelivered soon
                key.shed = max(key.shed - 1, 0)
                self._hold(delivery, key, now + IN_TRANSIT)
                return ready
            ready.append(delivery)
            key.shed = min(key.shed, len(key.waiting))
            key.handed[delivery.message_id] = delivery
        if not key.handed:
            del self._keys[name]
        return ready

    def _hold(self, failed: Delivery, key: OrderedKey, until: float) -> None:
        key.failed_id = failed.message_id
        key.held_until = until
        self._failed[failed.key] = key

    def _nack_all(self, waiting: list[Delivery], key: OrderedKey, now: float) -> list[Delivery]:
        """Have ``waiting`` redelivered in the right order, whichever it is."""
        # What was nacked before may be under way, although others go before it.
        nacked_now = [each for each in waiting if each.settled is None and not each.is_lost]
        key.nacked_ids.update(each.message_id for each in nacked_now)
        # If the first one was shed, its nack may be confirmed already.
        within = LONGEST_BACKOFF if waiting[0].settled is None else IN_TRANSIT
        self._hold_nacked(waiting[0], key, now + within)
        return waiting

    def _hold_nacked(self, failed: Delivery, key: OrderedKey, until: float) -> None:
        """Wait for the redelivery of ``failed``, and of all others of its key."""
        self._hold(failed, key, until)
        key.is_nacked = True
        key.nacked_at = 0.0

    def _end_hold(self, name: str, key: OrderedKey) -> None:
        key.failed_id = None
        key.earlier_ids.clear()
        key.nacked_ids.clear()
        key.is_nacked = False
        del self._failed[name]


def _was_delivered(delivery: Delivery) -> bool:
    """Whether it is not the first delivery of its message."""
    return (delivery.attempt or 1) > 1


def _nacked_for(delivery: Delivery) -> float:
    """For how long what arrives may have been sent before Pub/Sub knew that ``delivery`` failed."""
    if not delivery.is_lost:
        return LONGEST_BACKOFF  # until the nack is confirmed
    # An extension that was not answered may have had an effect.
    return PATIENCE + IN_TRANSIT if delivery.is_doubtful else IN_TRANSIT


def _take_waiting(key: OrderedKey) -> list[Delivery]:
    waiting = list(key.waiting)
    key.waiting.clear()
    key.shed = 0
    return waiting


def _take_copies(key: OrderedKey, delivery: Delivery) -> list[Delivery]:
    """Remove and return newer deliveries of a message that was handled: they wait first of all."""
    copies: list[Delivery] = []
    for waiting in key.waiting:
        if waiting.message_id == delivery.message_id:
            copies.append(waiting)
        elif waiting.message_id not in key.handed:
            break
    for copy in copies:
        key.waiting.remove(copy)
    return copies


def _expect_copies(key: OrderedKey, now: float) -> None:
    """Note that what was held may be redelivered: what waits, and was received before ``now``."""
    key.stale_ids = {delivery.message_id for delivery in key.waiting}
    key.resumed_at = now + COPIES_WITHIN


def _wait(key: OrderedKey, delivery: Delivery) -> Delivery | None:
    """Append a delivery, or let it replace an older one of the same message, which is returned."""
    if delivery.message_id in key.handed:
        # The lease of the one that runs was lost. What followed it is redelivered as well.
        copies = takewhile(lambda each: each.message_id in key.handed, key.waiting)
        key.waiting.insert(len(list(copies)), delivery)
        return None
    for number, waiting in enumerate(key.waiting):
        if waiting.message_id == delivery.message_id:
            key.waiting[number] = delivery
            if waiting.settled is None:
                return waiting
            key.shed = max(key.shed - 1, 0)
            return None
    key.waiting.append(delivery)
    return None
