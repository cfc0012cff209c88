"""Removes the damaged rows from a database."""

from dataclasses import replace

from rele.emulator.storage import damage
from rele.emulator.storage.changes import Changes
from rele.emulator.storage.database import Database
from rele.emulator.storage.loading import Loaded


def repair(database: Database, loaded: Loaded) -> None:
    """Log the faults, set their rows aside in a file, and write the database without them.

    Raises ``OSError`` and ``sqlite3.Error``; the database is as it was then.
    """
    damage.note(database.directory, loaded.faults)
    rows = [each for fault in loaded.faults for each in fault.rows]
    tally = replace(loaded.tally)
    writer = database.writer
    with database.transaction():
        for table, row in rows:
            if table == "message":
                statement = "DELETE FROM message WHERE id = ?"
                tally.messages -= writer.execute(statement, row[:1]).rowcount
            elif table == "resource":
                statement = "DELETE FROM resource WHERE id = ?"
                tally.resources -= writer.execute(statement, row[:1]).rowcount
        changes = Changes()
        for number in loaded.repairable:
            kept = loaded.resources[number]
            changes.put(number, kept.kind, kept.name, kept.config, kept.filter_text)
        if any(table == "entry" for table, _ in rows):
            # Damaged keys cannot be relied on to find their rows: all rows are written again.
            tally.entries -= writer.execute("DELETE FROM entry").rowcount
            _put_entries(changes, loaded)
        changes.write(writer, tally)
    loaded.tally = tally


def _put_entries(changes: Changes, loaded: Loaded) -> None:
    for number, kept in loaded.resources.items():
        changes.replace(2 * number, [message.id for message in kept.messages])
        changes.replace(2 * number + 1, [message.id for message in kept.logged])
        for message_id, attempt in kept.attempts.items():
            changes.attempt(2 * number, message_id, attempt)
