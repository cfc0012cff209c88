"""Registries on a data directory, without gRPC."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry
from rele.emulator.rpc.alarm import backlog_on_loop
from rele.emulator.storage import restoring
from rele.emulator.storage.database import Database
from rele.emulator.wire.descriptors import message_class

from ..conftest import Reader

TOPIC = "projects/p/topics/orders"
SUB = "projects/p/subscriptions/orders"
SNAPSHOT = "projects/p/snapshots/orders"


class Disk:
    """A server without its RPCs, on a loop that runs only while something is waited for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = asyncio.new_event_loop()
        self.lines: list[str] = []
        self.database: Database
        self.registry: Registry
        self.snapshots: SnapshotRegistry
        try:
            self.open()
        except BaseException:
            self.loop.close()
            raise

    def open(self) -> None:
        self.registry, self.snapshots = restoring.open_registries(
            self.loop,
            self.directory,
            functools.partial(backlog_on_loop, self.loop),
            self.lines.append,
        )
        self.database = self.registry.journal._database  # type: ignore[attr-defined]

    def restart(self) -> None:
        """End as by SIGTERM, and start again."""
        self.stop()
        self.open()

    def stop(self) -> None:
        self.loop.run_until_complete(self.registry.journal.close())

    def commit(self) -> None:
        """Wait until everything is on disk."""
        self.loop.run_until_complete(self.registry.journal.committed())

    def create_topic(self, name: str = TOPIC, **fields: Any) -> None:
        self.registry.create_topic(message_class("Topic")(name=name, **fields))

    def subscribe(self, name: str = SUB, topic: str = TOPIC, **fields: Any) -> None:
        self.registry.create_subscription(
            message_class("Subscription")(name=name, topic=topic, **fields)
        )

    def publish(self, *data: bytes, topic: str = TOPIC, **fields: Any) -> list[int]:
        message = message_class("PubsubMessage")
        stored = self.registry.publish(
            self.registry.topic(topic), [message(data=each, **fields) for each in data]
        )
        return [each.id for each in stored]

    def reader(self, name: str = SUB) -> Reader:
        return Reader(self.registry.subscription(name).backlog)

    def seek(self, time: int, name: str = SUB) -> None:
        """Seek to a time in microseconds since the epoch."""
        request = message_class("SeekRequest")(subscription=name)
        request.time.FromMicroseconds(time)
        self.snapshots.seek(request)

    def snapshot(self, name: str = SNAPSHOT, subscription: str = SUB) -> None:
        self.snapshots.create(
            message_class("CreateSnapshotRequest")(name=name, subscription=subscription)
        )

    def seek_to_snapshot(self, name: str = SUB, snapshot: str = SNAPSHOT) -> None:
        self.snapshots.seek(message_class("SeekRequest")(subscription=name, snapshot=snapshot))

    def count(self, table: str) -> int:
        number: int
        (number,) = self.database.reader.execute(f"SELECT count(*) FROM {table}").fetchone()
        return number


def data(reader: Reader) -> list[bytes]:
    """The data of what there is to take."""
    deliveries = reader.take()
    encoded = reader.backlog.ledger.encoded([each.message for each in deliveries])
    return [message_class("PubsubMessage").FromString(each).data for each in encoded]


def acknowledge(reader: Reader, number: int = 1) -> None:
    """Acknowledge the next messages."""
    for _ in range(number):
        reader.backlog.acknowledge([reader.take_one()])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    disk.create_topic()
    yield disk
    disk.stop()
    disk.loop.close()
