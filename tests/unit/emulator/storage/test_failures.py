"""A disk that cannot be written or read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from rele.emulator.rules.refusals import ResourceExhaustedError, ServiceError, UnavailableError
from rele.emulator.storage import durable
from rele.emulator.storage.payloads import Payloads
from rele.emulator.storage.rows import Tally

from .conftest import SUB, Disk, data

# More than what is free within the pages that there are.
BIG = b"x" * 100_000


@pytest.fixture
def full(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A disk with a subscription and no room for more."""
    # Not tried again until the test says so.
    monkeypatch.setattr(durable, "RETRY_SECONDS", 3600.0)
    disk.subscribe()
    disk.commit()
    disk.database.writer.execute("PRAGMA max_page_count = 1")
    yield disk
    make_room(disk)


def make_room(disk: Disk) -> None:
    disk.database.writer.execute("PRAGMA max_page_count = 1000000")


def try_again(disk: Disk) -> None:
    journal = disk.registry.journal
    assert isinstance(journal, durable.DurableJournal)
    assert journal._retry is not None
    journal._retry.cancel()
    journal._try_again()
    while journal._commit is not None:
        disk.loop.run_until_complete(asyncio.wait([journal._commit]))


def test_a_full_disk_is_reported_and_refuses_changes(full: Disk) -> None:
    full.publish(BIG)
    with pytest.raises(ResourceExhaustedError, match=r"cannot be written: .*full"):
        full.commit()

    with pytest.raises(ResourceExhaustedError, match="full"):
        full.registry.journal.check()
    with pytest.raises(ResourceExhaustedError, match="full"):
        full.commit()


def test_the_log_says_it_once_and_when_it_is_over(
    full: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    full.publish(BIG)
    with pytest.raises(ServiceError):
        full.commit()
    try_again(full)
    try_again(full)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"The data directory {full.directory} cannot be written")

    make_room(full)
    try_again(full)
    full.registry.journal.check()
    assert caplog.records[-1].getMessage() == "The data directory can be written again."


def test_what_could_not_be_written_is_written_later(full: Disk) -> None:
    full.publish(BIG)
    with pytest.raises(ServiceError):
        full.commit()
    full.publish(b"2")
    make_room(full)
    try_again(full)
    full.restart()

    assert data(full.reader()) == [BIG, b"2"]


def test_what_can_be_written_at_the_end_is(full: Disk) -> None:
    full.publish(BIG)
    with pytest.raises(ServiceError):
        full.commit()
    make_room(full)
    full.restart()

    assert data(full.reader()) == [BIG]


def test_what_cannot_be_written_at_the_end_does_not_keep_it(full: Disk) -> None:
    full.publish(BIG)
    full.restart()

    assert data(full.reader()) == []


def test_any_other_error_is_unavailable(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "RETRY_SECONDS", 3600.0)
    disk.database.writer.execute("DROP TABLE tally")
    disk.subscribe()
    disk.publish(b"1")
    with pytest.raises(UnavailableError, match="cannot be written: no such table"):
        disk.commit()
    # Nothing of it is there.
    assert (disk.count("message"), disk.count("entry"), disk.count("resource")) == (0, 0, 0)


def test_those_who_wait_elsewhere_are_notified_too(full: Disk) -> None:
    notified: list[ServiceError | None] = []
    full.publish(BIG)
    full.registry.journal.after_commit(notified.append)
    with pytest.raises(ServiceError):
        full.commit()
    full.registry.journal.after_commit(notified.append)

    assert [type(error) for error in notified] == [ResourceExhaustedError] * 2


def test_whoever_stopped_waiting_is_no_obstacle(disk: Disk) -> None:
    async def give_up() -> None:
        disk.subscribe()
        waiting = asyncio.ensure_future(disk.registry.journal.committed())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    disk.loop.run_until_complete(give_up())
    disk.commit()
    # A topic and a subscription, each in two rows.
    assert disk.count("resource") == 4


def test_many_changes_share_a_commit(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = 0

    def count(*arguments: Any) -> Tally:
        nonlocal commits
        commits += 1
        return commit(*arguments)

    commit = durable.commit
    monkeypatch.setattr(durable, "commit", count)

    async def publish_and_wait() -> None:
        disk.publish(b"1")
        await disk.registry.journal.committed()

    async def publish_by_many() -> None:
        await asyncio.gather(*[publish_and_wait() for _ in range(100)])

    disk.subscribe()
    disk.commit()
    commits = 0
    disk.loop.run_until_complete(publish_by_many())
    assert (commits, disk.count("message")) == (1, 100)


def test_a_disk_that_cannot_be_read_is_unavailable(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payloads, "most_bytes", 0)
    disk.subscribe()
    disk.publish(b"1")
    disk.commit()
    disk.database.writer.execute("DROP TABLE message")

    with pytest.raises(UnavailableError, match="Messages cannot be read from the data directory"):
        data(disk.reader(SUB))
