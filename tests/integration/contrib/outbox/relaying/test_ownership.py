"""Relays that share the shards of an outbox on a database server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Relay, Shard
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.ownership import LeasedOwnership, ownership_of
from rele.exceptions import ConfigurationError
from tests.support.outbox import ALIAS, InThread

ALL = frozenset(range(SHARDS))

LEASE = 30.0


class Elapsed:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def elapsed() -> Elapsed:
    return Elapsed()


@pytest.fixture
def make(elapsed: Elapsed) -> Iterator[Callable[..., LeasedOwnership]]:
    """Make the ownership of a relay, which sees the time that the test sets."""
    made: list[LeasedOwnership] = []

    def make() -> LeasedOwnership:
        ownership = LeasedOwnership(ALIAS, LEASE, DatabaseClock(ALIAS), elapsed)
        made.append(ownership)
        return ownership

    yield make
    for ownership in made:
        ownership.end()


def test_one_alone_has_all_and_leaves_none(database: str) -> None:
    ownership = ownership_of(ALIAS, LEASE, DatabaseClock(ALIAS))
    assert ownership.shards == frozenset()

    ownership.begin()
    assert ownership.shards == ALL
    assert ownership.wants_to_release == frozenset()
    assert Relay.objects.using(ALIAS).get().name == ownership.name

    ownership.end()
    assert ownership.shards == frozenset()
    assert not Relay.objects.using(ALIAS).exists()
    assert not Shard.objects.using(ALIAS).exclude(holder="").exists()


def test_on_sqlite_a_second_is_refused_with_the_name_of_the_first(sqlite: None) -> None:
    first = ownership_of(ALIAS, LEASE, DatabaseClock(ALIAS))
    second = ownership_of(ALIAS, LEASE, DatabaseClock(ALIAS))
    first.begin()
    with pytest.raises(ConfigurationError, match=f"The relay {first.name} is running, and on"):
        second.begin()

    first.end()
    second.begin()
    assert second.shards == ALL
    second.end()


def in_another_session(*functions: Callable[[], object]) -> None:
    """Call them in a thread, which has a connection of its own."""
    InThread(lambda: [function() for function in functions]).join()
