"""Writers, relays and Pub/Sub around an outbox on a real database, one step at a time.

Nothing happens by itself. Each writer and each relay has a thread, and so a connection, of its own;
but only one of them does something at a time.
"""

from __future__ import annotations

from typing import Any

from google.api_core.exceptions import ServiceUnavailable
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException

from rele.contrib.outbox.exceptions import OutboxError
from rele.contrib.outbox.lanes import lane_of, shard_of
from rele.contrib.outbox.models import OutboxMessage, Relay, Shard, State
from rele.contrib.outbox.upkeep import retry
from tests.support.history import History
from tests.support.outbox import ALIAS, REFUSED
from tests.support.outbox_actors import Published, Request, SteppedRelay, Writer
from tests.support.outbox_history import Committed, check_outbox
from tests.support.outbox_stage import Stage

UNAVAILABLE = ServiceUnavailable("unavailable")  # type: ignore[no-untyped-call]
UNSENT = (State.WAITING, State.DELAYED, State.SCHEDULED)

EVENTUALLY = 300.0
"""Seconds after the last fault within which everything is sent."""

_STEPS = 200
"""After so many without a pause a relay does the same again and again."""


class World:
    """An empty outbox, and what happens to it.

    Args:
        stage: where.
        batch_size: how many messages of a topic a relay has outstanding.
    """

    def __init__(self, stage: Stage, batch_size: int) -> None:
        self.stage = stage
        self.clock = stage.clock
        self._batch_size = batch_size
        self._keys: dict[int, str] = {}
        self._shards: dict[int, int] = {}
        self._ended: set[str] = set()
        """The relays that have ended, however."""
        self._parked: set[int] = set()
        self.has_refused = False
        """Whether Pub/Sub has refused a message since the last retry."""
        self.history = History(self._keys)
        self.published: dict[int, Published] = {}
        self.requests: list[Request] = []
        self.relays: list[SteppedRelay] = []
        self.writers = [Writer(self, thread) for thread in stage.writers]
        stage.refused, stage.interruption = (), None
        stage.errors.clear()
        for model in (OutboxMessage, Relay, Shard):
            model.objects.using(ALIAS).all().delete()

    @property
    def is_free(self) -> bool:
        """Whether a relay may be started, and can write."""
        return len(self.relays) < len(self.stage.relays) and not self.stage.refused

    def start_relay(self) -> None:
        """Start a relay, unless it cannot use the database."""
        threads = {relay.thread for relay in self.relays}
        thread = next(each for each in self.stage.relays if each not in threads)
        try:
            self.relays.append(SteppedRelay(self, thread, self._batch_size))
        except OutboxError:
            assert self.is_locked, "it can be used"

    @property
    def is_locked(self) -> bool:
        """Whether a writer keeps all others from writing."""
        return self.stage.kind == "sqlite" and any(each.is_open for each in self.writers)

    def new_number(self, topic: str, key: str) -> int:
        """The number of a new message, which is in its event id and is its data."""
        number = len(self._shards)
        if key:
            self._keys[number] = f"{topic}/{key}"
        self._shards[number] = shard_of(lane_of(topic, key), f"event-{number}")
        return number

    def note(self, kind: str, number: int, worker: str = "", detail: Any = None) -> None:
        self.history.add(self.clock.seconds, kind, number, worker, detail=detail)

    def note_committed(self, what: str, message: Published) -> None:
        """What a writer has done is committed."""
        if what == "cancel":
            message.state = "cancelled"
            self.note("withdrawn", message.number)
        else:
            message.state = "committed"
            self.note("accepted", message.number, detail=Committed(message.id, message.due))

    def note_handed_over(self, relay: SteppedRelay, requests: list[Request]) -> None:
        for request in requests:
            for number in request.numbers:
                shard = self._shards[number]
                idle = {
                    each.name for each in self.relays if each.is_cut or shard not in each.shards
                }
                self.note("handed_over", number, relay.name, self._ended | idle)
        self.requests += requests

    def note_ended(self, relay: SteppedRelay) -> None:
        self.relays.remove(relay)
        self._ended.add(relay.name)

    def note_parked(self) -> None:
        """Note which messages are parked since the last call."""
        parked = self._numbers(State.PARKED)
        for number in sorted(parked - self._parked):
            self.note("given_up", number)
        self._parked = parked

    def answer(self, request: Request, outcome: str, arrived: int = 0) -> None:
        """Let Pub/Sub answer a request.

        Args:
            request: one of ``requests``.
            outcome: ``accepted``; ``refused`` or ``unavailable``; or ``lost``, if it is accepted
                and the answer gets lost.
            arrived: how many messages are accepted, of a key, before the first that is not.
        """
        self.requests.remove(request)
        self.has_refused |= outcome == "refused"
        total = len(request.numbers)
        arrived = arrived % total if request.key else 0
        accepted = {"accepted": total, "lost": 0}.get(outcome, arrived)
        for number in request.numbers[: total if outcome == "lost" else accepted]:
            self.note("handled", number, request.relay.name)
        error: BaseException = REFUSED if outcome == "refused" else UNAVAILABLE
        for place, (number, future) in enumerate(
            zip(request.numbers, request.futures, strict=True)
        ):
            is_accepted = place < accepted
            word = "accepted" if is_accepted else "failed"
            self.note("answered", number, request.relay.name, word)
            request.relay.note_answer(number, is_accepted=is_accepted)
            if is_accepted:
                future.set_result("message")
                continue
            future.set_exception(error)
            if request.key:  # the later ones of a key are not even sent
                error = PublishToPausedOrderingKeyException(request.key)  # type: ignore[no-untyped-call]

    def retry(self) -> None:
        """Let what has failed be tried again at once, as the command does."""
        retry(OutboxMessage.objects.using(ALIAS).all())
        self._parked.clear()
        self.has_refused = False

    def check(self) -> None:
        """What must hold at any time."""
        assert self.stage.errors == [], "\n".join(self.stage.errors)
        believed = [shard for relay in self.relays if not relay.is_cut for shard in relay.shards]
        assert len(believed) == len(set(believed)), "a shard has two relays"

    def finish(self) -> None:
        """Let all end well, and check what has happened."""
        self.stage.refused, self.stage.interruption = (), None
        for writer in self.writers:
            while writer.is_open:
                writer.end(commit=True)
        if not self.relays:
            self.start_relay()
        deadline = self.clock.seconds + EVENTUALLY
        while self.requests or self._numbers(*UNSENT):
            assert self.clock.seconds < deadline, f"{self._numbers(*UNSENT)} are never sent"
            for relay in self.relays:
                self._let_run(relay)
            self.clock.seconds += 1.0
        for relay in list(self.relays):
            relay.stop()
        self.note_parked()
        self.check()
        parked = self._numbers(State.PARKED)
        broken = check_outbox(self.history, parked, by_commit=self.stage.by_commit)
        assert broken == [], "\n".join(broken)

    def abandon(self) -> None:
        """End what there is of it after a failure."""
        for writer in self.writers:
            while writer.is_open:
                writer.end(commit=False)
        for relay in list(self.relays):
            relay.kill()

    def _let_run(self, relay: SteppedRelay) -> None:
        for number in range(_STEPS):
            has_more = relay.step(is_notified=number == 0)
            for request in list(self.requests):
                self.answer(request, "accepted")
                has_more = True
            if not has_more:
                return
        raise AssertionError(f"{relay.name} finds something to do for ever")

    def _numbers(self, *states: State) -> set[int]:
        rows = OutboxMessage.objects.using(ALIAS).filter(state__in=states)
        return {int(bytes(data)) for data in rows.values_list("data", flat=True)}
