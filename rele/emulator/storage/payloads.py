"""Which messages are in memory, and how the others are read back."""

import json
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence

from rele.emulator.errors import UnavailableError
from rele.emulator.messages import StoredMessage

# About what a message costs in memory beside its bytes.
_OVERHEAD_BYTES = 200


class Payloads:
    """Keeps the bytes of the messages that were published last, up to ``most_bytes`` of them."""

    most_bytes = 32 * 1024 * 1024

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self._bytes = 0
        self._kept: deque[StoredMessage] = deque()

    def written(self, messages: Iterable[StoredMessage]) -> None:
        """Note that messages are on disk, so that their bytes need not stay in memory."""
        for message in messages:
            self._kept.append(message)
            self._bytes += message.size + _OVERHEAD_BYTES
        while self._bytes > self.most_bytes:
            oldest = self._kept.popleft()
            self._bytes -= oldest.size + _OVERHEAD_BYTES
            oldest.encoded = b""

    def encoded(self, messages: Sequence[StoredMessage]) -> list[bytes]:
        """The bytes of messages; those on disk are read at once and stay there.

        Raises ``UnavailableError`` where they cannot be read.
        """
        absent = [message.id for message in messages if not message.encoded]
        if not absent:
            return [message.encoded for message in messages]
        try:
            found: dict[int, bytes] = dict(
                self._reader.execute(
                    "SELECT id, encoded FROM message WHERE id IN (SELECT value FROM json_each(?))",
                    (json.dumps(absent),),
                ).fetchall()
            )
            return [message.encoded or found[message.id] for message in messages]
        except (sqlite3.Error, KeyError) as error:
            raise UnavailableError(
                f"Messages cannot be read from the data directory: {error}"
            ) from error
