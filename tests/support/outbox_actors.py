"""Who does something in a world around an outbox: writers, and relays with their Pub/Sub.

See :mod:`tests.support.outbox_world`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

import rele
from rele.backends import BaseBackend, Message
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.models import OutboxMessage
from rele.contrib.outbox.relaying.relay import OutboxRelay
from rele.contrib.outbox.relaying.times import RelayTimes
from tests.support.outbox import ALIAS
from tests.support.outbox_stage import Thread, drop_connection, end, session, wait_for_the_end_of

if TYPE_CHECKING:
    from tests.support.outbox_world import World

LEASE = 30.0
MAX_ATTEMPTS = 3
TIMES = RelayTimes(longest_pause=8.0)


@dataclass
class Published:
    """A message of a writer."""

    number: int
    id: int
    key: str
    due: float | None = None
    state: str = "open"
    """Or ``committed``, ``cancelling`` or ``cancelled``."""


class Writer:
    """A session with transactions that publish."""

    def __init__(self, world: World, thread: Thread) -> None:
        self._world = world
        self._thread = thread
        self._blocks: list[ExitStack] = []
        """The open transaction, and the savepoints in it."""
        self._done: list[list[tuple[str, Published]]] = []
        """What was done in each of them, to be undone with it."""

    @property
    def is_open(self) -> bool:
        return bool(self._blocks)

    @property
    def has_savepoint(self) -> bool:
        return len(self._blocks) > 1

    def begin(self) -> None:
        """Begin a transaction; a savepoint, if there is one."""

        def begin() -> ExitStack:
            stack = ExitStack()
            stack.enter_context(transaction.atomic(using=ALIAS))
            return stack

        self._blocks.append(self._thread.run(begin))
        self._done.append([])

    def publish(self, topic: str, key: str, later: float | None) -> None:
        """Publish a message; it commits by itself if no transaction is open."""
        number = self._world.new_number(topic, key)
        id_ = self._thread.run(lambda: self._write(number, topic, key, later))
        due = None if later is None else self._world.clock.seconds + later
        message = Published(number, id_, key, due)
        self._world.published[number] = message
        self._do("publish", message)

    def cancel(self, message: Published) -> None:
        """Cancel a scheduled message, unless a relay has made it due."""
        if self._thread.run(lambda: rele.cancel_scheduled(f"event-{message.number}")):
            message.state = "cancelling"
            self._do("cancel", message)

    def end(self, *, commit: bool) -> None:
        """End the innermost block: a savepoint, or the transaction."""
        block, done = self._blocks.pop(), self._done.pop()

        def end() -> None:
            transaction.set_rollback(not commit, using=ALIAS)
            block.close()

        self._thread.run(end)
        if not commit:
            for what, message in reversed(done):
                message.state = "committed" if what == "cancel" else "rolled back"
        elif self._done:
            self._done[-1] += done
        else:
            for each in done:
                self._world.note_committed(*each)

    def _do(self, what: str, message: Published) -> None:
        if self._done:
            self._done[-1].append((what, message))
        else:
            self._world.note_committed(what, message)

    def _write(self, number: int, topic: str, key: str, later: float | None) -> int:
        attributes = {"event_id": f"event-{number}", **({"ordering_key": key} if key else {})}
        with transaction.atomic(using=ALIAS):
            if later is None:
                rele.publish(topic, number, **attributes)
            else:
                rele.publish_later(topic, number, when=timedelta(seconds=later), **attributes)
            row = OutboxMessage.objects.using(ALIAS).filter(event_id=attributes["event_id"])
            row.update(created_at=self._world.clock.now())
            return int(row.values_list("id", flat=True)[0])


@dataclass
class Request:
    """Some messages on their way to Pub/Sub."""

    relay: SteppedRelay
    key: str
    numbers: list[int]
    futures: list[Future[str]]


class HeldPubSub(BaseBackend):
    """Where one relay sends to: a request for each ordering key, which waits for its answer."""

    def __init__(self, relay: SteppedRelay) -> None:
        self._relay = relay

    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        requests: dict[tuple[str, str], Request] = {}
        futures = []
        for message in messages:
            key = (message.topic, message.ordering_key)
            request = requests.setdefault(key, Request(self._relay, message.ordering_key, [], []))
            future: Future[str] = Future()
            futures.append(future)
            request.numbers.append(int(message.data))
            request.futures.append(future)
        self._relay.world.note_handed_over(self._relay, [*requests.values()])
        return futures


class SteppedRelay:
    """A relay that does one step when it is called."""

    def __init__(self, world: World, thread: Thread, batch_size: int) -> None:
        self.world = world
        self.thread = thread
        self._cut: Any = None
        """The driver's connection that was cut."""
        self.has_ended = False
        self._accepted: set[int] = set()
        self.relay: OutboxRelay = thread.run(lambda: self._begin(batch_size))

    @property
    def name(self) -> str:
        return self.relay.name

    @property
    def shards(self) -> frozenset[int]:
        """What it believes to be its own."""
        return frozenset() if self.has_ended else self.relay._ownership.shards

    @property
    def is_cut(self) -> bool:
        """Whether its session has ended, and it has not noticed."""
        return self._cut is not None

    def step(self, *, is_notified: bool = False) -> bool:
        """Do what is to be done now; return whether there may be more."""
        if is_notified:
            self.relay._core.hurry(self.world.clock.seconds)
        try:
            return self.thread.run(self.relay._step_or_report)
        finally:
            if self.thread.run(lambda: connections[ALIAS].connection) is not self._cut:
                self._cut = None
            self._note_written()

    def note_answer(self, number: int, *, is_accepted: bool) -> None:
        if is_accepted and not self.has_ended:
            self._accepted.add(number)

    def stop(self) -> None:
        """As SIGTERM does, without waiting for Pub/Sub in real time."""
        self._end(self._finish)

    def kill(self) -> None:
        """As SIGKILL does: its session with the database ends, and its locks with it."""
        session_ = None if self.is_cut else self.thread.run(session)
        self._end(self._die)
        wait_for_the_end_of(session_)

    def cut(self) -> None:
        """Its session with the database ends, which it notices when it needs it."""
        if not self.is_cut and (session_ := self.thread.run(session)) is not None:
            self._cut = self.thread.run(lambda: connections[ALIAS].connection)
            end(session_)

    def _begin(self, batch_size: int) -> OutboxRelay:
        connections[ALIAS].execute_wrappers[:] = [self.world.stage.execute]
        settings = OutboxSettings(max_attempts=MAX_ATTEMPTS, lease=LEASE)
        relay = OutboxRelay(ALIAS, settings, HeldPubSub(self), batch_size, times=TIMES)
        relay.begin()
        relay._waiter.open()
        return relay

    def _end(self, how: Callable[[], object]) -> None:
        self.thread.run(how)
        self.has_ended = True
        self.world.note_ended(self)

    def _finish(self) -> None:
        self.relay._finish()
        self.relay._waiter.close()
        self.relay.end()
        drop_connection()

    def _die(self) -> None:
        drop_connection()
        self.relay._waiter.forget()
        self.relay._waiter.close()
        if self.world.stage.kind == "sqlite":
            self.relay._ownership._lock.forget()

    def _note_written(self) -> None:
        known = self.relay._core.known
        for number in sorted(self._accepted):
            if self.world.published[number].id not in known:
                self._accepted.remove(number)
                self.world.note("written", number, self.name)
