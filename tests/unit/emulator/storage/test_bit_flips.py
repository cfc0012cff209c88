"""Whichever bit of the data flips: no wrong byte is served, and nothing is lost in silence."""

from __future__ import annotations

import functools
import logging
import random
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.ledger import Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.exceptions import DataDirError
from rele.emulator.resources.registry import Registry
from rele.emulator.storage import restoring
from rele.emulator.storage.database import FILE_NAME

from ..conftest import Reader
from .conftest import Disk, acknowledge

START_NANOSECONDS = 1_700_000_000 * 10**9

WAL_NAME = f"{FILE_NAME}-wal"
ORDERED = "projects/p/subscriptions/ordered"
FILTERED = "projects/p/subscriptions/filtered"

Contents = dict[str, Any]
"""What a server has: messages by holder and id, configurations and attempts by name."""


def fill(disk: Disk) -> None:
    """Have some of everything: large, retained, failed and acknowledged messages, free pages."""
    disk.create_topic(message_retention_duration={"seconds": 3600})
    disk.subscribe(retain_acked_messages=True, labels={"team": "shop"})
    disk.subscribe(ORDERED, enable_message_ordering=True)
    disk.subscribe(FILTERED, filter="attributes:kind", enable_exactly_once_delivery=True)
    for number in range(30):
        disk.publish(b"small %d" % number, attributes={"kind": "x"}, ordering_key="ab"[number % 2])
    disk.publish(*(b"%d" % number * 7000 for number in range(6)), ordering_key="large")
    disk.commit()
    disk.snapshot()
    reader = disk.reader(ORDERED)
    acknowledge(reader, 3)
    reader.backlog.modify_ack_deadlines([reader.take_one()], [0])
    acknowledge(disk.reader(), 4)
    disk.create_topic("projects/p/topics/gone")
    disk.subscribe("projects/p/subscriptions/gone", "projects/p/topics/gone")
    disk.publish(*[b"g" * 3000] * 8, topic="projects/p/topics/gone")
    disk.commit()
    disk.registry.delete_subscription("projects/p/subscriptions/gone")
    disk.commit()
    for number in range(5):
        disk.publish(b"late %d" % number, attributes={"kind": "y"})
        disk.commit()


def contents(disk: Disk) -> Contents:
    found: Contents = {}
    for name, topic in disk.registry.topics.items():
        found[name] = topic.config
        if topic.log is not None:
            found[f"log of {name}"] = payloads(topic.log.ledger, topic.log.since(0))
    for name, subscription in disk.registry.subscriptions.items():
        backlog = subscription.backlog
        found[f"configuration of {name}"] = subscription.config
        found[name] = payloads(backlog.ledger, backlog.unacknowledged())
        found[f"attempts of {name}"] = attempts(subscription.backlog)
        if subscription.log is not None:
            found[f"log of {name}"] = payloads(subscription.log.ledger, subscription.log.since(0))
    for name, snapshot in disk.snapshots.snapshots.items():
        found[f"configuration of {name}"] = snapshot.config
        found[name] = payloads(snapshot._ledger, snapshot.messages)
    return found


def attempts(backlog: Backlog) -> dict[int, int]:
    """Which attempt to deliver each message is the next, where it is not the first."""
    reader = Reader(backlog)
    batch = reader.take()
    backlog.release(reader.consumer, batch)
    reader.leave()
    return {each.message.id: each.attempt for each in batch if each.attempt > 1}


def payloads(ledger: Ledger, messages: Iterable[StoredMessage]) -> dict[int, bytes]:
    some = list(messages)
    return {
        message.id: encoded
        for message, encoded in zip(some, ledger.encoded(some), strict=True)
        if encoded is not None
    }


class Data:
    """Data of a former server, which is copied, and damaged, over and over."""

    def __init__(self, directory: Path, log: pytest.LogCaptureFixture) -> None:
        self.original = directory / "original"
        self.copy = directory / "copy"
        self.log = log
        self.expected: Contents = {}

    def flip(self, name: str, bit: int) -> None:
        """Make a copy in which one bit is another."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.original, self.copy)
        with (self.copy / name).open("r+b") as file:
            file.seek(bit // 8)
            (byte,) = file.read(1)
            file.seek(bit // 8)
            file.write(bytes([byte ^ 1 << bit % 8]))

    def outcome(self) -> str:
        """What becomes of the copy; raises ``AssertionError`` where that is silent or wrong."""
        self.log.clear()
        before = (self.copy / FILE_NAME).read_bytes()
        refusal = None
        try:
            found, damaged = self.served()
        except DataDirError as error:
            refusal = str(error)
        if refusal is not None:
            assert refusal.startswith(
                f"The Pub/Sub emulator cannot use the data directory {self.copy}"
            )
            assert "It was left as it is" in refusal
            assert (self.copy / FILE_NAME).read_bytes() == before
            return "refused"
        if damaged == 0:
            assert found == self.expected
            assert self.log.records == []
            return "harmless"
        self.check_faults(found)
        self.log.clear()
        # What was damaged is out of the way, and still counted.
        assert self.served() == (found, damaged)
        assert self.log.records == []
        return "set aside"

    def served(self) -> tuple[Contents, int]:
        """What a server on the copy has, and how much it set aside."""
        disk = Disk(self.copy)
        try:
            return contents(disk), disk.registry.journal.damaged
        finally:
            disk.stop()
            disk.loop.close()

    def check_faults(self, found: Contents) -> None:
        """All that is missing is named, and the rest is as it was."""
        errors = [each.getMessage() for each in self.log.records if each.levelno >= logging.ERROR]
        assert errors
        if any(WAL_NAME in error for error in errors):
            return
        # Of a damaged entry nobody can say whose it was.
        nameless = sum("table entry is damaged" in error for error in errors)
        assert found.keys() == self.expected.keys()
        for name, value in self.expected.items():
            if name.startswith("attempts of "):
                assert found[name].items() <= value.items()
            elif not isinstance(value, dict):
                assert found[name] == value
            else:
                assert found[name].items() <= value.items(), name
                for number in value.keys() - found[name].keys():
                    nameless -= not any(str(number) in error for error in errors)
                assert nameless >= 0, name


@pytest.fixture(params=["stopped", "killed"])
def data(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Data:
    """Data that are the same in each run, so that a seed names the same bits."""
    monkeypatch.setattr(
        restoring, "Registry", functools.partial(Registry, wall_clock=lambda: START_NANOSECONDS)
    )
    data = Data(tmp_path, caplog)
    disk = Disk(tmp_path / "made")
    fill(disk)
    if request.param == "killed":
        shutil.copytree(disk.directory, data.original)
    disk.restart()
    data.expected = contents(disk)
    disk.stop()
    disk.loop.close()
    if request.param == "stopped":
        shutil.copytree(disk.directory, data.original)
    return data


def flip_randomly(data: Data, number: int, seed: int) -> Counter[str]:
    """Flip so many bits, each in a copy of its own; returns what became of the copies."""
    draw = random.Random(seed)
    sizes = {
        path.name: path.stat().st_size
        for path in sorted(data.original.iterdir())
        if path.name in (FILE_NAME, WAL_NAME)
    }
    outcomes: Counter[str] = Counter()
    for _ in range(number):
        (name,) = draw.choices(list(sizes), list(sizes.values()))
        bit = draw.randrange(8 * sizes[name])
        data.flip(name, bit)
        try:
            outcomes[data.outcome()] += 1
        except BaseException as error:
            print(f"Bit {bit} of {name} was flipped (seed {seed}): {error!r}")
            raise
    return outcomes


def test_no_flipped_bit_is_silent(data: Data) -> None:
    outcomes = flip_randomly(data, 100, seed=1)

    assert outcomes["set aside"] > 10 or data.original.joinpath(WAL_NAME).exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(5))
def test_no_flipped_bit_of_very_many_is_silent(data: Data, seed: int) -> None:
    outcomes = flip_randomly(data, 1000, seed=100 + seed)

    print(outcomes)
    assert sum(outcomes.values()) == 1000
