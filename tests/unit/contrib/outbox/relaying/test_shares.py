"""What a relay may take, and what it should hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.relaying.shares import HeldShards, Lease, View

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
LATER, EARLIER = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)


def view(live: str = "ab", gone: str = "", **leases: Lease) -> View:
    """A view whose first shards have the leases, in the order in which they are given."""
    others = {number: Lease("a", LATER) for number in range(len(leases), SHARDS)}
    return View(NOW, dict(enumerate(leases.values())) | others, set(live), set(gone))


@pytest.mark.parametrize("count", range(1, 20))
def test_shares_are_equal_and_make_the_whole(count: int) -> None:
    names = [chr(ord("a") + number) for number in range(count)]
    shares = [view(live="".join(names)).share_of(name) for name in names]

    assert sum(shares) == SHARDS
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("lease", "is_free"),
    [
        (Lease("", LATER), True),
        (Lease("c", LATER), False),
        (Lease("c", NOW), True),
        (Lease("c", EARLIER), True),
        (Lease("g", LATER), True),
        (Lease("b", EARLIER), False),
    ],
    ids=["released", "held", "ends now", "ended", "of one that is gone", "one's own"],
)
def test_may_take(lease: Lease, is_free: bool) -> None:
    assert view(gone="g", first=lease).free_for("b") == ([0] if is_free else [])


def test_relays_try_for_different_shards_first() -> None:
    free = View(NOW, {number: Lease("", NOW) for number in range(SHARDS)}, {"a", "b", "c", "d"})

    assert [free.free_for(name)[0] for name in "abcd"] == [0, 4, 8, 12]
    assert sorted(free.free_for("b")) == list(range(SHARDS))


def test_a_lease_is_relied_on_from_the_beginning_of_its_statement_for_most_of_it() -> None:
    held = HeldShards(30)
    held.extend([1, 2], started=100)
    held.extend([2], started=110)

    assert held.valid_at(126.9) == {1, 2}
    assert held.valid_at(127) == {2}
    assert held.valid_at(137) == set()


def test_what_others_have_now_is_lost() -> None:
    held = HeldShards(30)
    held.extend([1, 2, 3], started=100)

    assert held.keep_only({2, 4}) == {1, 3}
    assert held.valid_at(101) == {2}
    assert held.keep_only({2, 4}) == set()


def test_the_last_ones_are_surplus() -> None:
    held = HeldShards(30)
    held.extend([5, 1, 3], started=100)

    assert held.surplus(2) == {5}
    assert held.surplus(3) == set()
