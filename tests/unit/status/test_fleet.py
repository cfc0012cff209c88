"""What a supervisor knows of its processes."""

from __future__ import annotations

import pytest

from rele.status.fleet import Fleet
from rele.status.health import Health, HealthJudge
from rele.status.snapshot import Phase, Snapshot

EPOCH = 1_000_000.0
"""Where the clock of the notes is 0."""


def consuming(number: int, pid: int) -> Snapshot:
    return Snapshot(f"host:{pid}/{number}", EPOCH, EPOCH, Phase.CONSUMING)


@pytest.fixture
def fleet() -> Fleet:
    """Two processes that consume, since the moment 0."""
    fleet = Fleet("host", 2, silent_after=30)
    for key, number, pid in [(1, 1, 11), (2, 2, 12)]:
        fleet.note_spawned(key, number, pid, now=0)
        fleet.note_snapshot(key, consuming(number, pid), now=0)
    return fleet


def health(fleet: Fleet, now: float) -> Health:
    return HealthJudge().judge(fleet.snapshots(now, EPOCH + now), now)


def test_all_consume(fleet: Fleet) -> None:
    assert health(fleet, now=29) == Health()


def test_before_any_is_started_all_start() -> None:
    snapshots = Fleet("host", 2).snapshots(0, EPOCH)

    assert [each.process for each in snapshots] == ["host:-/1", "host:-/2"]
    assert {each.phase for each in snapshots} == {Phase.STARTING}


def test_one_that_has_not_reported_yet_starts_however_long_that_takes() -> None:
    fleet = Fleet("host", 1)
    fleet.note_spawned(1, 1, 11, now=0)

    [snapshot] = fleet.snapshots(100, EPOCH + 100)

    assert snapshot == Snapshot("host:11/1", EPOCH + 100, EPOCH, Phase.STARTING)


def test_one_that_stops_reporting_is_not_live(fleet: Fleet) -> None:
    fleet.note_snapshot(2, consuming(2, 12), now=25)

    [reason] = health(fleet, now=30).not_live

    assert reason.startswith("host:11/1: worker: It has not reported for 30 s: ")


def test_one_that_has_ended_is_not_ready_until_its_successor_consumes(fleet: Fleet) -> None:
    fleet.note_ended(2)
    assert "host:12/2: worker: It has ended." in health(fleet, now=1).not_ready[0]

    fleet.note_spawned(3, 2, 13, now=2)
    assert "host:13/2: worker: It sets up" in health(fleet, now=2).not_ready[0]

    fleet.note_snapshot(3, consuming(2, 13), now=3)
    assert health(fleet, now=3) == Health()
    assert len(fleet.snapshots(3, EPOCH + 3)) == 2


def test_one_that_was_replaced_is_shown_until_it_has_ended(fleet: Fleet) -> None:
    fleet.note_retired(2)
    fleet.note_spawned(3, 2, 13, now=1)
    fleet.note_snapshot(3, consuming(2, 13), now=1)

    assert health(fleet, now=1) == Health()
    assert [each.is_replaced for each in fleet.snapshots(1, EPOCH + 1)] == [False, True, False]

    fleet.note_ended(2)
    assert len(fleet.snapshots(1, EPOCH + 1)) == 2


def test_when_all_are_asked_to_stop_they_drain_at_once(fleet: Fleet) -> None:
    fleet.note_stop()

    assert {each.phase for each in fleet.snapshots(0, EPOCH)} == {Phase.DRAINING}
    assert len(health(fleet, now=0).not_ready) == 2
    assert health(fleet, now=0).is_live
