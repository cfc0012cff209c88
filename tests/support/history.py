"""What happened to messages, in order, and the rules that it must obey.

A history comes from the simulation (:mod:`tests.simulation`), which sees everything, or from the
ledger of an acceptance test (:mod:`tests.support.ledger`), which sees what handlers write down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

ASKED_AGAIN_AFTER = 5.0
"""Seconds after which an engine sends a delay again where it is not sure of it."""

EPSILON = 1e-6
"""Seconds."""


class Event(NamedTuple):
    """Something that happened."""

    at: float
    """Seconds."""
    kind: str
    """The name of a method of :class:`Rule`."""
    message: int | None = None
    worker: str = ""
    delivery: str = ""
    """The ack id."""
    detail: Any = None


class History:
    """What happened, in order.

    Args:
        keys: the ordering key of each message that has one. The messages of a key are numbered in
            the order in which they were published.
    """

    def __init__(self, keys: Mapping[int, str] | None = None) -> None:
        self.keys = {} if keys is None else keys
        self.events: list[Event] = []

    def add(
        self,
        at: float,
        kind: str,
        message: int | None = None,
        worker: str = "",
        delivery: str = "",
        detail: Any = None,
    ) -> None:
        """Note what happened now."""
        self.events.append(Event(at, kind, message, worker, delivery, detail))

    def messages(self, kind: str) -> list[int]:
        """The messages of the events of a kind, in order."""
        return [e.message for e in self.events if e.kind == kind and e.message is not None]


class Rule:
    """Looks at one event after the other. A method ``note_KIND`` gets the events of a kind."""

    def __init__(self, history: History) -> None:
        self._keys = history.keys
        self.broken: list[str] = []
        """How the rule was broken."""

    def end(self) -> None:
        """Look at the whole."""

    def breaks(self, event: Event | None, text: str) -> None:
        """Note how the rule was broken."""
        self.broken.append(f"{event.at:.3f} s: {text}" if event else text)


def check(history: History, rules: Iterable[Rule]) -> list[str]:
    """Return how a history breaks rules; nothing if it does not."""
    rules = list(rules)
    interested: defaultdict[str, list[Callable[[Event], None]]] = defaultdict(list)
    for rule in rules:
        for name in dir(rule):
            if name.startswith("note_"):
                interested[name.removeprefix("note_")].append(getattr(rule, name))
    for event in history.events:
        for note in interested.get(event.kind, ()):
            note(event)
    for rule in rules:
        rule.end()
    return [f"{type(rule).__name__}: {text}" for rule in rules for text in rule.broken]


class NothingIsLost(Rule):
    """What was accepted was handled, or waits, or is a dead letter.

    Args:
        history: what happened.
        waiting: what waits at the end.
    """

    def __init__(self, history: History, waiting: Collection[int] = ()) -> None:
        super().__init__(history)
        self._waiting = set(waiting)
        self._accepted: set[int] = set()
        self._known: set[int] = set()

    def note_accepted(self, event: Event) -> None:
        self._accepted.add(_message(event))

    def note_handled(self, event: Event) -> None:
        self._known.add(_message(event))

    note_dead_lettered = note_forgotten = note_handled

    def note_withdrawn(self, event: Event) -> None:
        """Its publisher has cancelled it in time: it must not be handled at all."""
        self._accepted.discard(_message(event))

    def end(self) -> None:
        if lost := self._accepted - self._known - self._waiting:
            self.breaks(None, f"{_few(lost)} neither handled, nor waiting, nor a dead letter")
        if made_up := (self._known | self._waiting) - self._accepted:
            self.breaks(None, f"{_few(made_up)} never accepted")


class InOrder(Rule):
    """A message begins only when each earlier one of its key was handled, or given up."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self._done: set[int] = set()
        self._following: defaultdict[Hashable, list[int]] = defaultdict(list)
        """The messages of each key that are not done, the first one first."""

    def note_accepted(self, event: Event) -> None:
        message = _message(event)
        if (key := self._keys.get(message)) is not None:
            self._following[key].append(message)

    def note_begun(self, event: Event) -> None:
        message = _message(event)
        key = self._keys.get(message)
        if key is None or message in self._done:
            return
        following = self._following[key]
        while following and following[0] in self._done:
            following.pop(0)
        if following and following[0] != message:
            self.breaks(event, f"{message} of {key!r} begins before {following[0]} is handled")

    def note_handled(self, event: Event) -> None:
        self._done.add(_message(event))

    note_dead_lettered = note_forgotten = note_given_up = note_handled


class OneAtATime(Rule):
    """A process handles one message of a key at a time."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self._running: dict[tuple[str, str], Event] = {}

    def note_begun(self, event: Event) -> None:
        key = self._keys.get(_message(event))
        if key is None:
            return
        other = self._running.get((event.worker, key))
        if other is not None:
            text = f"{event.worker} begins {event.message} of {key!r} while {other.message} runs"
            self.breaks(event, text)
        self._running[event.worker, key] = event

    def note_returned(self, event: Event) -> None:
        key = self._keys.get(_message(event))
        if key is not None:
            self._running.pop((event.worker, key), None)

    def note_lease_lost(self, event: Event) -> None:
        """Its handler may go on, but it is another's message now."""
        key = self._keys.get(_message(event))
        running = self._running.get((event.worker, key or ""))
        if running is not None and running.delivery == event.delivery:
            del self._running[event.worker, key or ""]

    note_abandoned = note_lease_lost


class Bounded(Rule):
    """There are never more handlers at a time than threads, nor more messages than allowed.

    A process holds what it has received and not settled, unless Pub/Sub has ended the lease: then
    it is another's message, or is redelivered to this process and counts once.

    Args:
        history: what happened.
        threads: of a process.
        messages: that a process may hold; ``None`` where the server ignores the limit.
    """

    def __init__(self, history: History, threads: int, messages: int | None = None) -> None:
        super().__init__(history)
        self._threads = threads
        self._messages = messages
        self._running: defaultdict[str, int] = defaultdict(int)

    def note_begun(self, event: Event) -> None:
        self._running[event.worker] += 1
        if self._running[event.worker] > self._threads:
            self.breaks(event, f"{event.worker} runs {self._running[event.worker]} handlers")

    def note_returned(self, event: Event) -> None:
        self._running[event.worker] -= 1

    def note_holds(self, event: Event) -> None:
        """A process holds ``detail`` messages."""
        if self._messages is not None and event.detail > self._messages:
            text = f"{event.worker} holds {event.detail} messages, of at most {self._messages}"
            self.breaks(event, text)


class StopsInTime(Rule):
    """A process that is asked to stop has ended when its time is over.

    Args:
        history: what happened.
        more: seconds that it may take for the last acknowledgements.
    """

    def __init__(self, history: History, more: float = 1.0) -> None:
        super().__init__(history)
        self._more = more
        self._deadlines: dict[str, float] = {}

    def note_stopping(self, event: Event) -> None:
        self._deadlines[event.worker] = event.detail

    def note_suspended(self, event: Event) -> None:
        """A process that does not run cannot stop."""
        if event.worker in self._deadlines:
            self._deadlines[event.worker] += event.detail

    def note_ended(self, event: Event) -> None:
        deadline = self._deadlines.pop(event.worker, None)
        if deadline is not None and event.at > deadline + self._more + EPSILON:
            late = event.at - deadline
            self.breaks(event, f"{event.worker} stopped {late:.1f} s after its deadline")

    def end(self) -> None:
        for worker in self._deadlines:
            self.breaks(None, f"{worker} never stopped")


class HandledOnce(Rule):
    """What was handled, or is being handled, begins again only for a reason.

    Reasons are that its lease ended, that its acknowledgement was lost, or that its process died. A
    lease that ends needs a reason as well: while nothing is wrong, a worker keeps its leases.

    Args:
        history: what happened.
        excused_for: seconds for which a fault excuses the end of a lease.
    """

    def __init__(self, history: History, excused_for: float = 90.0) -> None:
        super().__init__(history)
        self._excused_for = excused_for
        self._excused_until = -1.0
        self._handled: dict[str, Event] = {}
        """The deliveries that were handled or are being handled."""
        self._last: dict[int, str] = {}
        """The last delivery of each message that began."""
        self._abandoned: set[str] = set()

    def note_fault(self, event: Event) -> None:
        """Excuse what follows from a fault, which lasts for ``detail`` seconds."""
        until = event.at + event.detail + self._excused_for
        self._excused_until = max(self._excused_until, until)

    def note_freed(self, event: Event) -> None:
        """The server ended a lease, because of ``detail``."""
        handled = self._handled.get(event.delivery)
        if event.at <= self._excused_until or handled is None or handled.kind == "failed":
            return
        if event.detail == "nacked":
            self.breaks(event, f"{event.message} is nacked, but was {handled.kind}")
        elif event.detail == "expired":
            self.breaks(event, f"the lease of {event.message} ended, which was {handled.kind}")

    def note_begun(self, event: Event) -> None:
        if event.delivery not in self._abandoned:
            self._handled[event.delivery] = event

    note_handled = note_failed = note_begun

    def note_abandoned(self, event: Event) -> None:
        """The engine has given up a handler that runs for too long, or its process has died."""
        self._handled.pop(event.delivery, None)
        self._abandoned.add(event.delivery)


class LeaseHeld(Rule):
    """Nothing is begun whose lease is known to be lost.

    A batch is given to its handler as a whole: it may go on with what is lost meanwhile.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self._ends: dict[str, float] = {}
        self._lost: set[str] = set()
        self._given: set[str] = set()

    def note_received(self, event: Event) -> None:
        """Received with a lease of ``detail`` seconds."""
        self._ends[event.delivery] = event.at + event.detail

    def note_renewed(self, event: Event) -> None:
        """The worker knows that its lease lasts until ``detail``."""
        self._ends[event.delivery] = event.detail

    def note_lease_lost(self, event: Event) -> None:
        self._lost.add(event.delivery)

    def note_given(self, event: Event) -> None:
        """A part of a batch that begins."""
        self.note_begun(event)
        self._given.add(event.delivery)

    def note_begun(self, event: Event) -> None:
        if event.delivery in self._given:
            return
        ends_at = self._ends.get(event.delivery, event.at)
        if event.delivery in self._lost or event.at > ends_at + EPSILON:
            self.breaks(event, f"{event.worker} begins {event.message}, whose lease was lost")


class LastWord(Rule):
    """A delay that Pub/Sub has accepted is kept: nothing that was sent before undoes it.

    A short delay may be over before it is known that an extension has not got lost. A delay that is
    sent again may itself arrive too late.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self._until: dict[str, float] = {}
        self._workers: dict[str, str] = {}
        self._extended: set[str] = set()

    def note_delayed(self, event: Event) -> None:
        """The server has set an ack deadline as a delay, of ``detail`` seconds."""
        self._extended.discard(event.delivery)
        if event.detail > ASKED_AGAIN_AFTER:
            self._until[event.delivery] = event.at + event.detail
            self._workers[event.delivery] = event.worker

    def note_extended(self, event: Event) -> None:
        """The server has set an ack deadline of ``detail`` seconds as an extension."""
        self._extended.add(event.delivery)

    def note_sent(self, event: Event) -> None:
        """A process has sent how a message was settled, perhaps again."""
        self._extended.discard(event.delivery)

    def note_suspended(self, event: Event) -> None:
        """A process that does not run cannot send a delay again."""
        for delivery in [d for d, worker in self._workers.items() if worker == event.worker]:
            del self._workers[delivery]
            self._until.pop(delivery, None)

    note_ended = note_suspended

    def note_freed(self, event: Event) -> None:
        until = self._until.get(event.delivery)
        if event.detail != "expired" or until is None or event.delivery not in self._extended:
            return
        if abs(event.at - until) > 1.0:
            late = event.at - until
            self.breaks(event, f"an extension undid the delay of {event.message}: {late:+.1f} s")


def _message(event: Event) -> int:
    assert event.message is not None
    return event.message


def _few(messages: Collection[int]) -> str:
    listed = ", ".join(map(str, sorted(messages)[:5]))
    return f"{len(messages)} message(s) ({listed}{', …' if len(messages) > 5 else ''}) were"
