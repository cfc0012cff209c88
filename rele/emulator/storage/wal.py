"""SQLite's write-ahead log: damage that SQLite would silently ignore.

SQLite reads the log up to the first frame whose checksum is wrong, and takes what follows for the
rest of a commit that a crash interrupted. Damage in the middle would silently undo every later
commit. The format is in "WAL-mode File Format" in SQLite's documentation.
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_CHECKED_OF_HEADER, _CHECKED_OF_FRAME = 24, 8
_BYTE_ORDERS = {0x377F0682: "<", 0x377F0683: ">"}
_VERSION = 3007000
_MASK = 0xFFFFFFFF

_SALTS = slice(16, 24)

_Sums = tuple[int, int]


class LogState(enum.Enum):
    """The state of a log."""

    WHOLE = "whole"
    LAST_COMMIT_LOST = "its last commit is incomplete or damaged"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Log:
    """A log: what it is good for, its salts, and the number of its last committed frame."""

    state: LogState
    salts: bytes = b""
    frame: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it has not even a header, or is missing."""
        return not self.salts and self.state is LogState.WHOLE


def look_at_log(path: Path, page_size: int) -> Log:
    """Whether all commits in the log at ``path``, which need not exist, can be read.

    A power failure may leave the last commit incomplete, which was confirmed to no client then;
    it cannot be distinguished from a damaged one.
    """
    content = path.read_bytes() if path.exists() else b""
    if len(content) <= _HEADER.size:
        return Log(LogState.WHOLE)
    magic, version, size, _, salt_1, salt_2, *sums = _HEADER.unpack_from(content)
    order = _BYTE_ORDERS.get(magic)
    if order is None or version != _VERSION or size != page_size:
        return _DAMAGED
    before = _add(content[:_CHECKED_OF_HEADER], order, (0, 0))
    if before != tuple(sums):
        return _DAMAGED
    commits_after_damage = 0
    damaged = False
    last_commit = 0
    for number, (header, page) in enumerate(_frames(content, page_size), start=1):
        _, pages_after_commit, own_salt_1, own_salt_2, *sums = _FRAME.unpack(header)
        if own_salt_1 != salt_1 and own_salt_2 != salt_2:
            # Left from before SQLite started the log again; so is all that follows.
            break
        if not damaged:
            before = _add(page, order, _add(header[:_CHECKED_OF_FRAME], order, before))
            damaged = before != tuple(sums) or (own_salt_1, own_salt_2) != (salt_1, salt_2)
        if damaged and commits_after_damage:
            # Each commit is flushed before the next one begins: this was no power failure.
            return _DAMAGED
        if pages_after_commit:
            commits_after_damage += damaged
            last_commit = last_commit if damaged else number
    state = LogState.LAST_COMMIT_LOST if damaged else LogState.WHOLE
    return Log(state, content[_SALTS], last_commit)


_DAMAGED = Log(LogState.DAMAGED)


def _frames(content: bytes, page_size: int) -> Iterator[tuple[bytes, bytes]]:
    """The header and the page of each whole frame."""
    step = _FRAME.size + page_size
    for start in range(_HEADER.size, len(content) - step + 1, step):
        body = start + _FRAME.size
        yield content[start:body], content[body : start + step]


def _add(data: bytes, order: str, sums: _Sums) -> _Sums:
    """SQLite's running checksum of the log after ``data``."""
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for word, next_word in zip(words, words, strict=True):
        first = (first + word + second) & _MASK
        second = (second + next_word + first) & _MASK
    return first, second
