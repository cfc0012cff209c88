"""What the lock file says of the database while a server has it open.

It has a line from the opening until the clean close: up to where SQLite's log has commits. After a
kill, a log that is missing or shorter has lost some, which SQLite itself would not notice.
"""

import contextlib
import os
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# "WAL-Index Header" in "WAL-mode File Format" in SQLite's documentation, in the machine's byte
# order: the number of the last frame that is committed, and the salts of the log.
_INDEX = struct.Struct("=16xI12x8s")

_LINE = re.compile(rb"in use, log ([0-9a-f]{16}) to frame (\d{10}), check ([0-9a-f]{8})\n")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log has been written: its salts, and the number of the last committed frame."""

    salts: bytes = bytes(8)
    frame: int = 0

    def line(self) -> bytes:
        """As the lock file has it; always of the same length."""
        text = b"in use, log %s to frame %010d" % (self.salts.hex().encode(), self.frame)
        return b"%s, check %08x\n" % (text, zlib.crc32(text))


def read(lock: IO[bytes]) -> Position | None:
    """What a killed server has left; ``None`` after a clean close, or where nobody can say."""
    content = os.pread(lock.fileno(), 1000, 0)
    match = _LINE.fullmatch(content)
    if match is None:
        return None
    position = Position(bytes.fromhex(match[1].decode()), int(match[2]))
    return position if position.line() == content else None


class Usage:
    """Writes down, from the opening to the clean close, how far the log has been written.

    Args:
        lock: the lock file, which belongs to the caller.
        index: SQLite's ``-shm`` file, which both connections have open already.
    """

    def __init__(self, lock: IO[bytes], index: Path) -> None:
        self._lock = lock
        # Open until after the connections: closing it would release SQLite's locks on it.
        self._index = os.open(index, os.O_RDONLY)
        self.note()
        os.ftruncate(lock.fileno(), len(Position().line()))
        os.fsync(lock.fileno())

    def note(self) -> None:
        """Write down how far the log has got. Called by whoever has just committed.

        Not flushed: what is lost of it in a power failure only says that less was committed.
        """
        with contextlib.suppress(OSError):
            frame, salts = _INDEX.unpack(os.pread(self._index, _INDEX.size, 0))
            os.pwrite(self._lock.fileno(), Position(salts, frame).line(), 0)

    def end(self) -> None:
        """Nothing depends on the log from now on. Before SQLite deletes it: a crash may follow."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock.fileno(), 0)
            os.fsync(self._lock.fileno())

    def close(self) -> None:
        os.close(self._index)
