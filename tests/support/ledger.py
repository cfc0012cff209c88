"""What the handlers of other processes write down, a line at a time."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.support.history import History, NothingIsLost, check

WRITE = """
    import os

    _LEDGER = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(line):
        os.write(_LEDGER, f"{line}\\n".encode())  # in one piece: several threads and processes do
"""
"""To begin a ``subs.py`` with."""


class Ledger:
    """The ledger in a project's folder. A line is a word and the number of a message."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ledger"
        self._read = 0
        self._counts: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def count(self, word: str) -> Counter[int]:
        """How often each message has a line with that word."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                found = file.read()
            # The end of the file may be in the middle of a line that is being written.
            lines = found[: found.rfind(b"\n") + 1]
            self._read += len(lines)
            for line in lines.decode().splitlines():
                begin, number = line.split()
                self._counts[begin][int(number)] += 1
        return self._counts[word].copy()

    def wait_for(self, word: str, messages: int, seconds: float = 30) -> Counter[int]:
        """Return the counts once that many messages have the word; fails after ``seconds``."""
        deadline = time.monotonic() + seconds
        while len(counts := self.count(word)) < messages:
            assert time.monotonic() < deadline, f"{len(counts)} {word!r} after {seconds} s"
            time.sleep(0.02)  # another process writes the file
        return counts

    def history(self, accepted: Iterable[int], handled: str) -> History:
        """What happened to ``accepted``, of which the word ``handled`` says which were handled."""
        history = History()
        for number in accepted:
            history.add(0.0, "accepted", number)
        for number in self.count(handled).elements():
            history.add(0.0, "handled", number)
        return history

    def check(self, accepted: Iterable[int], handled: str) -> list[str]:
        """How the ledger breaks the rule of the simulation that nothing is lost, if it does."""
        history = self.history(accepted, handled)
        return check(history, [NothingIsLost(history)])
