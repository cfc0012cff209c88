"""Which messages are in memory, and how the others are read back."""

import json
import logging
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence

from rele.emulator.delivery.message import StoredMessage
from rele.emulator.rules.refusals import UnavailableError
from rele.emulator.storage.rows import is_intact, message_checksum

_LOG = logging.getLogger(__name__)

_READ = "SELECT * FROM message WHERE id IN (SELECT value FROM json_each(?))"

# The approximate memory of a message beside its bytes.
_OVERHEAD_BYTES = 200


class Payloads:
    """Keeps the bytes of the messages that were published last, up to ``most_bytes`` of them."""

    most_bytes = 32 * 1024 * 1024

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self.damaged: set[int] = set()
        """The ids of the messages that were found to be damaged."""
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

    def encoded(self, messages: Sequence[StoredMessage]) -> list[bytes | None]:
        """The bytes of messages; those on disk are read, and are not kept in memory.

        None stands for one that is damaged. Raises ``UnavailableError`` where the disk cannot be
        read.
        """
        absent = [message.id for message in messages if not message.encoded]
        if not absent:
            return [message.encoded for message in messages]
        try:
            found = self._read(absent)
        except sqlite3.Error as error:
            raise UnavailableError(
                f"Messages cannot be read from the data directory: {error}"
            ) from error
        for number in absent:
            if number not in found:
                self._report(number)
        return [message.encoded or found.get(message.id) for message in messages]

    def _read(self, numbers: list[int]) -> dict[int, bytes]:
        """The bytes of those messages that are intact."""
        try:
            rows = self._reader.execute(_READ, (json.dumps(numbers),)).fetchall()
        except sqlite3.DatabaseError as error:
            # Its subclasses have other causes, such as a disk that cannot be read.
            if type(error) is not sqlite3.DatabaseError:
                raise
            if len(numbers) == 1:
                return {}
            return {key: value for each in numbers for key, value in self._read([each]).items()}
        return {row[0]: row[3] for row in rows if is_intact(row, message_checksum)}

    def _report(self, number: int) -> None:
        if number not in self.damaged:
            self.damaged.add(number)
            _LOG.error(
                "Message %d is damaged in the data directory and is not delivered; the others are.",
                number,
            )
