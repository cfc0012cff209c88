"""Relays that come and go, in a virtual time, while their database answers late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rele.contrib.outbox.lanes import SHARDS
from tests.support.leases import SimulatedRelay, World

ALL = frozenset(range(SHARDS))

LEASE = 30.0

SETTLED = LEASE + 5.0
"""Seconds after which the shards are shared, if nothing happens any more."""


@pytest.fixture
def world() -> World:
    return World(LEASE)


def shared_by(*relays: SimulatedRelay) -> list[int]:
    """How many shards each has; all together have all."""
    assert frozenset().union(*(relay.shards for relay in relays)) == ALL
    return [len(relay.shards) for relay in relays]


def test_one_alone_has_all_at_once(world: World) -> None:
    assert world.start().shards == ALL


@pytest.mark.parametrize("count", [2, 3, 5, 16])
def test_those_that_come_get_their_share_within_3_seconds(world: World, count: int) -> None:
    relays = [world.start() for _ in range(count)]
    world.advance(3)

    counts = shared_by(*relays)
    assert max(counts) - min(counts) <= 1


def test_more_relays_than_shards_wait_for_one_to_go(world: World) -> None:
    relays = [world.start() for _ in range(SHARDS + 1)]
    world.advance(3)
    [idle] = [relay for relay in relays if not relay.shards]
    relays[0].end()
    world.advance(1.25)

    assert len(idle.shards) == 1


def test_what_one_had_that_ended_or_was_killed_is_taken_within_two_seconds(world: World) -> None:
    relays = [world.start() for _ in range(4)]
    world.advance(3)
    relays[0].kill()
    relays[1].end()
    world.advance(1.25)

    assert shared_by(*relays[2:]) == [8, 8]


def test_what_one_had_that_is_suspended_is_taken_when_its_leases_end(world: World) -> None:
    first, second = world.start(), world.start()
    world.advance(3)
    first.suspend(100)
    world.advance(LEASE - 6)
    assert len(second.shards) == SHARDS / 2
    world.advance(7)

    assert second.shards == ALL
    assert first.shards == frozenset(), "it would see so as soon as it is resumed"


def test_one_that_was_suspended_gets_its_share_again(world: World) -> None:
    first, second = world.start(), world.start()
    first.suspend(100)
    world.advance(103)

    assert shared_by(first, second) == [8, 8]


def test_what_is_lost_is_not_taken_again_by_the_same_call(world: World) -> None:
    """Whoever looks before and after it sees that it was lost."""
    first = world.start()
    first.suspend(LEASE + 1)
    world.advance(LEASE + 0.5)
    second = world.start()
    assert second.shards == ALL
    second.kill()
    world.advance(0.5)
    assert first.shards == frozenset()
    world.advance(1.25)

    assert first.shards == ALL


def test_one_that_lost_its_connection_relies_on_nothing_until_it_has_renewed(world: World) -> None:
    first, second = world.start(), world.start()
    world.advance(3)
    first.lose_connection()
    assert first.shards == frozenset()
    world.advance(3)

    assert shared_by(first, second) == [8, 8]


def let_happen_before(statement: str, of: SimulatedRelay, happening: Callable[[], None]) -> None:
    """Let something happen before the relay runs the statement for the first time."""
    execute = getattr(of.table, statement)

    def late(*args: Any) -> Any:
        setattr(of.table, statement, execute)
        happening()
        return execute(*args)

    setattr(of.table, statement, late)


def test_one_that_renews_its_leases_in_the_last_moment_keeps_them(world: World) -> None:
    first, second = world.start(), world.start()
    world.advance(3)

    def resume() -> None:
        first.suspend(0)
        world.advance(0.25)
        assert len(first.shards) == SHARDS / 2

    let_happen_before("take", second, resume)
    first.suspend(100)
    world.advance(LEASE + 3)

    assert shared_by(first, second) == [8, 8]


@pytest.mark.parametrize("statement", ["read", "take"])
def test_one_that_connects_again_in_the_last_moment_keeps_its_shards(
    world: World, statement: str
) -> None:
    first, second = world.start(), world.start()
    world.advance(3)
    first.lose_connection()
    first.suspend(100)

    def resume() -> None:
        first.suspend(0)
        world.advance(0.25)
        assert len(first.shards) == SHARDS / 2

    let_happen_before(statement, second, resume)
    world.advance(3)

    assert shared_by(first, second) == [8, 8]


def test_one_whose_rows_are_locked_keeps_what_it_has_renewed(world: World) -> None:
    first = world.start()
    world.locked_rows |= {first.ownership.name, *range(8)}
    world.advance(LEASE)
    assert first.shards == frozenset(range(8, SHARDS))
    world.locked_rows.clear()
    world.advance(1.25)

    assert first.shards == ALL


def test_one_that_cannot_show_its_new_session_relies_on_nothing(world: World) -> None:
    """Others see that its old one has ended, and take its shards."""
    first, second = world.start(), world.start()
    world.advance(3)
    world.locked_rows.add(first.ownership.name)
    first.lose_connection()
    world.advance(3)

    assert (first.shards, second.shards) == (frozenset(), ALL)


Event = tuple[str, int, float, float]

EVENTS = st.tuples(
    st.sampled_from(["start", "end", "kill", "suspend", "lose_connection", "lock", "unlock"]),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.25, 1.0, 5.0, 31.0]),
    st.sampled_from([0.0, 0.25, 1.0, 14.0, 31.0]),
)
"""What happens, to which relay, how long statements take then, and how long it lasts."""


def happen(world: World, event: Event) -> None:
    what, number, delay, seconds = event
    world.delays = [delay] * number
    relay = world.relays[number % len(world.relays)] if world.relays else None
    actions: dict[str, Callable[[SimulatedRelay], None]] = {
        "end": SimulatedRelay.end,
        "kill": SimulatedRelay.kill,
        "suspend": lambda relay: relay.suspend(seconds),
        "lose_connection": SimulatedRelay.lose_connection,
        "lock": lambda relay: world.locked_rows.update(
            {relay.ownership.name, *range(number, SHARDS, 3)}
        ),
        "unlock": lambda relay: world.locked_rows.clear(),
    }
    if what == "start" and len(world.relays) < 6:
        world.start(skew=(number - 2.5) / 2)
    elif relay is not None and what in actions:
        actions[what](relay)
    world.advance(seconds)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=25))
def test_whatever_happens_no_shard_has_two_and_in_the_end_all_are_shared(
    events: list[Event],
) -> None:
    """The world looks after each statement and each quarter of a second who relies on what."""
    world = World(LEASE)
    world.start()
    for event in events:
        happen(world, event)
    world.delays = []
    world.locked_rows.clear()
    for relay in world.relays:
        relay.suspend(0)
    if not world.relays:
        world.start()
    world.advance(SETTLED)

    counts = shared_by(*world.relays)
    assert max(counts) - min(counts) <= 1
