"""What the handlers of other processes write down, a line at a time, and how it is checked.

The rules are those of the simulation: see :mod:`tests.support.history`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.history import (
    Bounded,
    Event,
    History,
    InOrder,
    NothingIsLost,
    OneAtATime,
    Rule,
    check,
)

WRITE = """
    import os
    import time

    _LEDGER = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(line):
        # In one piece: several threads and processes do.
        os.write(_LEDGER, f"{line} {os.getpid()} {time.monotonic():.3f}\\n".encode())
"""
"""To begin a ``subs.py`` with."""


class Line(NamedTuple):
    """What was written about a message."""

    word: str
    number: int
    """Of the message."""
    process: int = 0
    """The id of the process that wrote it."""
    at: float = 0.0
    """Seconds."""


class Ledger:
    """The ledger in a project's folder. A line is a word and the number of a message."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ledger"
        self._read = 0
        self._lines: list[Line] = []

    def lines(self, *words: str) -> list[Line]:
        """All lines, or those that begin with one of the words."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                found = file.read()
            # The end of the file may be in the middle of a line that is being written.
            whole = found[: found.rfind(b"\n") + 1]
            self._read += len(whole)
            self._lines += map(_parse, whole.decode().splitlines())
        return [line for line in self._lines if not words or line.word in words]

    def count(self, word: str) -> Counter[int]:
        """How often each message has a line with that word."""
        return Counter(line.number for line in self.lines(word))

    def wait_for(self, word: str, messages: int, seconds: float = 30) -> Counter[int]:
        """Return the counts once that many messages have the word; fails after ``seconds``."""
        deadline = time.monotonic() + seconds
        while len(counts := self.count(word)) < messages:
            assert time.monotonic() < deadline, f"{len(counts)} {word!r} after {seconds} s"
            time.sleep(0.02)  # another process writes the file
        return counts

    def check(
        self,
        accepted: Iterable[int],
        *,
        begun: str | None = "begin",
        handled: str = "end",
        expected: Expected | None = None,
    ) -> list[str]:
        """How the ledger breaks the rules, if it does.

        Args:
            accepted: the messages that Pub/Sub has accepted, those of a key in order.
            begun: the word that a handler begins with, if it does not write at its end alone.
            handled: the word that it ends with.
            expected: what else is known.
        """
        return check_lines(self.lines(), accepted, begun=begun, handled=handled, expected=expected)


class Expected(NamedTuple):
    """What is known of messages that have a ledger, besides that they were accepted."""

    keys: Mapping[int, str] = {}
    """Their ordering keys."""
    threads: int | None = None
    """How many handlers of a process may run at a time."""
    waiting: Collection[int] = ()
    dead_letters: Collection[int] = ()
    killed: Collection[int] = ()
    """The ids of processes that were killed: what they had begun is redelivered."""
    again: Collection[int] = ()
    """The messages that may have been redelivered for another reason."""


class BeginsOnce(Rule):
    """What has begun begins again only if its process was killed, or for a reason that is known."""

    def __init__(self, history: History, expected: Expected) -> None:
        super().__init__(history)
        self._killed = set(map(str, expected.killed))
        self._excused = set(expected.again)
        self._processes: dict[int, str] = {}
        """In which process each message has begun last."""

    def note_begun(self, event: Event) -> None:
        assert event.message is not None
        process = self._processes.get(event.message)
        if process not in (None, *self._killed) and event.message not in self._excused:
            self.breaks(event, f"{event.worker} begins {event.message} again, after {process}")
        self._processes[event.message] = event.worker


def check_lines(
    lines: Iterable[Line],
    accepted: Iterable[int],
    *,
    begun: str | None = "begin",
    handled: str = "end",
    expected: Expected | None = None,
) -> list[str]:
    """How these lines break the rules, if they do: see :meth:`Ledger.check`."""
    expected = expected or Expected()
    history = _history(list(lines), accepted, begun or handled, handled, expected)
    rules: list[Rule] = [
        NothingIsLost(history, expected.waiting),
        BeginsOnce(history, expected),
        InOrder(history),
        OneAtATime(history),
    ]
    if expected.threads is not None:
        rules.append(Bounded(history, expected.threads))
    return check(history, rules)


def check_handled(
    handled: Iterable[int], accepted: Iterable[int], expected: Expected | None = None
) -> list[str]:
    """How what was handled, in this order, breaks the rules, if it does."""
    lines = [Line("end", number) for number in handled]
    return check_lines(lines, accepted, begun=None, expected=expected)


def lines_said(text: str, process: int = 0) -> list[Line]:
    """The lines about messages within the output of a process."""
    found = re.findall(r"^(\w+) (\d+)$", text, flags=re.MULTILINE)
    return [Line(word, int(number), process) for word, number in found]


def _parse(line: str) -> Line:
    word, number, process, at = line.split()
    return Line(word, int(number), int(process), float(at))


def _history(
    lines: list[Line], accepted: Iterable[int], begun: str, handled: str, expected: Expected
) -> History:
    """As the simulation would have seen it."""
    history = History(expected.keys)
    for number in accepted:
        history.add(0.0, "accepted", number)
    for line in lines:
        at, process = line.at - lines[0].at, str(line.process)
        if line.word == begun:
            history.add(at, "begun", line.number, process)
        if line.word == handled:
            history.add(at, "handled", line.number, process)
            history.add(at, "returned", line.number, process)
    for number in expected.dead_letters:
        history.add(0.0, "dead_lettered", number)
    return history
