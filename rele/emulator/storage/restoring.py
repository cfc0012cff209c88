"""The state of an earlier server, restored from its data directory.

Imported only where a data directory is asked for: it loads SQLite.
"""

import asyncio
import sqlite3
from pathlib import Path

from google.protobuf.message import DecodeError

from rele.emulator.exceptions import DataDirError
from rele.emulator.resources.journal import Kind
from rele.emulator.resources.registry import NewBacklog, Registry
from rele.emulator.resources.snapshot import Snapshot
from rele.emulator.resources.snapshots import SnapshotRegistry
from rele.emulator.storage.database import open_database
from rele.emulator.storage.durable import DurableJournal
from rele.emulator.storage.loading import DamagedStructureError, Loaded, load
from rele.emulator.storage.repairing import repair
from rele.emulator.storage.structure import Progress, damaged
from rele.emulator.wire import classes


def open_registries(
    loop: asyncio.AbstractEventLoop,
    directory: Path,
    new_backlog: NewBacklog,
    on_progress: Progress,
) -> tuple[Registry, SnapshotRegistry]:
    """Registries with the content of the data directory, which keep everything there.

    Blocks while it reads. Raises ``DataDirError`` where the directory cannot be used.
    """
    database = open_database(directory, on_progress)
    try:
        loaded = load(database, on_progress)
        if loaded.faults:
            repair(database, loaded)
        registry = Registry(
            new_backlog,
            journal=DurableJournal(loop, database, loaded.numbers(), loaded.tally),
            last_id=loaded.last_id,
        )
        snapshots = SnapshotRegistry(registry)
        restore(loaded, registry, snapshots)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error | DecodeError | DamagedStructureError):
            raise damaged(directory, str(error)) from error
        if isinstance(error, OSError):
            raise DataDirError(directory, error.strerror or str(error)) from error
        raise
    return registry, snapshots


def restore(loaded: Loaded, registry: Registry, snapshots: SnapshotRegistry) -> None:
    """Restore everything: topics first, because the others refer to them."""
    for kept in sorted(loaded.resources.values(), key=lambda kept: kept.kind):
        if kept.kind is Kind.TOPIC:
            registry.restore_topic(classes.Topic.FromString(kept.config), kept.logged)
        elif kept.kind is Kind.SUBSCRIPTION:
            registry.restore_subscription(
                classes.Subscription.FromString(kept.config),
                kept.messages,
                kept.logged,
                kept.attempts,
            )
        else:
            ledger = registry.journal.ledger(Kind.SNAPSHOT, kept.name)
            config = classes.Snapshot.FromString(kept.config)
            snapshots.restore(Snapshot(config, kept.filter_text, kept.messages, ledger))
