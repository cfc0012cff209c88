"""Any history of an outbox: what writers, relays, Pub/Sub and the database do, in any order.

Each example is played on a real database in virtual time, and ends well: then nothing is lost, what
was rolled back or cancelled was never sent, and the first appearances of each key are in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rele.contrib.outbox.relaying import looks
from tests.support.outbox import connected
from tests.support.outbox_actors import LEASE, Published, SteppedRelay, Writer
from tests.support.outbox_stage import Interruption, Stage, stage
from tests.support.outbox_world import World

EXAMPLES = [
    pytest.param(10, id="few"),
    pytest.param(1_000, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
]

STEPS = 40
"""Of an example, at the most."""

NUMBER = st.integers(0, 5)
"""Chooses one of those that there are."""

# Most are of one key, in which most can go wrong.
TOPICS = st.sampled_from(["orders", "orders", "orders", "photos"])
KEYS = st.sampled_from(["a", "a", "a", "b", ""])
PAUSES = st.sampled_from([0.02, 0.3, 1.0, 3.0, 11.0, LEASE + 1])

LOAD = "attributes"
"""What is in the statement that reads payloads, just before they are sent."""

READ_ONLY = ("INSERT", "UPDATE", "DELETE")


class Histories(RuleBasedStateMachine):
    """Whatever may happen to an outbox."""

    stage: Stage

    @initialize(batch_size=st.sampled_from([1, 2, 10]), named=st.sampled_from([1, 1_000]))
    def begin(self, batch_size: int, named: int) -> None:
        looks.NAMED = named
        # The order of commits is promised for what a relay reads at a time.
        self.world = World(self.stage, 1_000 if self.stage.by_commit else batch_size)
        self.world.start_relay()

    @rule(number=NUMBER, topic=TOPICS, key=KEYS, times=st.integers(1, 4))
    def publish(self, number: int, topic: str, key: str, times: int) -> None:
        for _ in range(times):
            self._writer(number).publish(topic, key, None)

    @rule(number=NUMBER, topic=TOPICS, key=KEYS, later=st.sampled_from([-1.0, 0.5, 20.0]))
    def publish_later(self, number: int, topic: str, key: str, later: float) -> None:
        # Its place would be compared with the real times of commits.
        self._writer(number).publish(topic, "" if self.stage.by_commit else key, later)

    @precondition(lambda self: self._cancellable())
    @rule(number=NUMBER, which=NUMBER)
    def cancel(self, number: int, which: int) -> None:
        messages = self._cancellable()
        self._writer(number).cancel(messages[which % len(messages)])

    @rule(number=NUMBER)
    def begin_transaction_or_savepoint(self, number: int) -> None:
        self._writer(number).begin()

    @precondition(lambda self: self._open_writers())
    @rule(number=NUMBER, commit=st.booleans())
    def commit_or_roll_back(self, number: int, commit: bool) -> None:
        writers = self._open_writers()
        writers[number % len(writers)].end(commit=commit)

    @precondition(lambda self: self.world.relays)
    @rule(number=NUMBER, steps=st.integers(1, 3), is_notified=st.booleans())
    def step(self, number: int, steps: int, is_notified: bool) -> None:
        for _ in range(steps):
            self._relay(number).step(is_notified=is_notified)
        self.world.note_parked()

    @precondition(lambda self: self.world.relays)
    @rule(
        number=NUMBER,
        statement=st.integers(1, 12) | st.just(LOAD),
        is_late=st.booleans(),
        seconds=st.none() | PAUSES,
    )
    def step_and_interrupt(
        self, number: int, statement: int | str, is_late: bool, seconds: float | None
    ) -> None:
        """A statement fails, or the relay is suspended at it while the other one goes on."""

        def happen() -> None:
            if seconds is None:
                raise OperationalError("failed for this test")
            self.world.clock.seconds += seconds
            for relay in self.world.relays:
                if relay is not self._relay(number):
                    relay.step()
                    relay.step()

        self.stage.interruption = (
            Interruption(1, happen, is_late, LOAD)
            if statement == LOAD
            else Interruption(int(statement), happen, is_late)
        )
        self._relay(number).step(is_notified=True)
        self.stage.interruption = None
        self.world.note_parked()

    @precondition(lambda self: self.world.relays)
    @rule(number=NUMBER)
    def send_and_be_accepted(self, number: int) -> None:
        """As nearly always."""
        self._relay(number).step(is_notified=True)
        for request in list(self.world.requests):
            self.world.answer(request, "accepted")
        self._relay(number).step()

    @precondition(lambda self: self.world.requests)
    @rule(
        which=NUMBER,
        outcome=st.sampled_from(["accepted", "accepted", "refused", "unavailable", "lost"]),
        arrived=NUMBER,
    )
    def answer(self, which: int, outcome: str, arrived: int) -> None:
        requests = self.world.requests
        self.world.answer(requests[which % len(requests)], outcome, arrived)

    @rule(seconds=PAUSES)
    def wait(self, seconds: float) -> None:
        self.world.clock.seconds += seconds

    @precondition(lambda self: self.world.is_free)
    @rule()
    def start_relay(self) -> None:
        self.world.start_relay()

    @precondition(lambda self: self.world.relays)
    @rule(
        number=NUMBER, how=st.sampled_from([SteppedRelay.kill, SteppedRelay.stop, SteppedRelay.cut])
    )
    def end_relay_or_its_session(self, number: int, how: Callable[[SteppedRelay], None]) -> None:
        how(self._relay(number))

    @precondition(lambda self: not self.stage.refused)
    @rule(words=st.sampled_from([("DELETE",), READ_ONLY]))
    def refuse_writes(self, words: tuple[str, ...]) -> None:
        self.stage.refused = words

    @precondition(lambda self: self.stage.refused)
    @rule()
    def allow_writes(self) -> None:
        self.stage.refused = ()

    @precondition(lambda self: self.world.has_refused and not self.world.is_locked)
    @rule()
    def retry(self) -> None:
        self.world.retry()

    @invariant()
    def what_holds_at_any_time(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        try:
            self.world.finish()
        finally:
            self.world.abandon()

    def _writer(self, number: int) -> Writer:
        return self.world.writers[number % len(self.world.writers)]

    def _relay(self, number: int) -> SteppedRelay:
        return self.world.relays[number % len(self.world.relays)]

    def _open_writers(self) -> list[Writer]:
        return [writer for writer in self.world.writers if writer.is_open]

    def _cancellable(self) -> list[Published]:
        published = self.world.published.values()
        return [each for each in published if each.due is not None and each.state == "committed"]


def play(stage: Stage, examples: int) -> None:
    machine: Any = type("Histories", (Histories,), {"stage": stage})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            # To find a smaller one takes minutes; the example is kept, and found again.
            phases=[each for each in Phase if examples > 10 or each != Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "NAMED", looks.NAMED)  # each example sets it


@pytest.mark.parametrize("examples", EXAMPLES)
def test_on_each_database(database: str, examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A transaction that is open keeps all others from writing to SQLite.
    options = {"timeout": 0} if database == "sqlite" else {}
    with connected(**({"OPTIONS": options} if options else {})), stage(database, monkeypatch) as it:
        play(it, examples)


@pytest.mark.usefixtures("tracking")
@pytest.mark.parametrize("examples", EXAMPLES)
def test_where_the_database_knows_when_each_transaction_has_committed(
    examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage("postgres", monkeypatch, by_commit=True) as it:
        play(it, examples)


@pytest.fixture
def world(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One in which a relay has three messages outstanding."""
    with stage(database, monkeypatch) as it:
        world = World(it, 3)
        yield world
        world.abandon()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
@pytest.mark.parametrize("seconds", [0.36, 6.5])
def test_a_later_transaction_of_a_key_does_not_overtake_one_that_was_open_for_long(
    world: World, seconds: float
) -> None:
    """Other messages are sent all the time, so that the relay has read past the first one."""
    world.start_relay()
    long, other, _ = world.writers
    long.begin()
    long.publish("orders", "a", None)
    for _ in range(int(seconds / 0.02)):
        other.publish("photos", "", None)
        world.relays[0].step(is_notified=True)
        for request in list(world.requests):
            world.answer(request, "accepted")
        world.clock.seconds += 0.02

    long.end(commit=True)
    other.publish("orders", "a", None)

    world.finish()


@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"], indirect=True)
def test_two_scheduled_messages_of_a_key_are_sent_in_the_order_in_which_they_are_due(
    world: World,
) -> None:
    for later in (20.0, 10.0):
        world.writers[0].publish("orders", "a", later)
    world.clock.seconds += 21.0

    world.finish()


@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"], indirect=True)
def test_a_scheduled_message_does_not_overtake_a_backlog_of_its_key(world: World) -> None:
    world.writers[0].publish("orders", "a", 10.0)
    for _ in range(40):
        world.writers[0].publish("orders", "a", None)
    world.clock.seconds += 11.0

    world.finish()


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_what_was_read_before_the_lease_was_over_is_not_sent_after_it(world: World) -> None:
    world.start_relay()
    world.start_relay()
    suspended, other = world.relays
    for key in "abcdefgh":
        world.writers[0].publish("orders", key, None)

    def pass_over() -> None:
        world.clock.seconds += LEASE + 1
        for _ in range(3):
            other.step(is_notified=True)
            world.clock.seconds += 1.0

    world.stage.interruption = Interruption(1, pass_over, is_late=True, about=LOAD)
    while world.stage.interruption is not None:
        assert suspended.step(is_notified=True), "it has something to send"

    world.finish()
