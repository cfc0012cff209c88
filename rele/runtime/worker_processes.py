"""Which worker processes a supervisor starts, stops and replaces, and when. No clock, no process.

The supervisor notes what has happened and carries out what :meth:`WorkerProcesses.act` returns.
Each process has a key of its own; each worker has a number, from 1, that its next process inherits.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from rele.runtime.ends_of_processes import describe_end, is_stop_signal

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds before a worker that has died is started again: doubled from one death to the next."""

HEALTHY_AFTER = 60.0
"""Seconds after which a worker that pulls counts as healthy: its next pause is the first again."""

LONGEST_TURN = 30.0
"""Seconds that a worker waits at most until it may be replaced, since others are not pulling."""

SECOND_SIGNAL_AFTER = 1.0
"""Seconds: one Ctrl-C may arrive twice, from the terminal and from a parent process."""

LAST_WORDS = 1.5
"""Seconds that a process has to log what it abandons when it must end at once."""

Command = Literal["stop", "recycle", "end"]
"""What a worker is asked to do: stop gracefully, be replaced, end at once."""


@dataclass(frozen=True)
class Spawn:
    """Start a process for the worker of this number."""

    key: int
    number: int


@dataclass(frozen=True)
class Tell:
    """Send a command to a process."""

    key: int
    command: Command


@dataclass(frozen=True)
class Kill:
    """Send SIGKILL to a process."""

    key: int


@dataclass(frozen=True)
class Report:
    """Log a line."""

    level: int
    text: str


@dataclass(frozen=True)
class AllPull:
    """All workers pull for the first time."""


Action = Spawn | Tell | Kill | Report | AllPull


class Phase(Enum):
    """What a process does."""

    STARTING = auto()
    PULLING = auto()
    DUE = auto()
    """It pulls, and asks to be replaced."""
    LEAVING = auto()
    """It may be replaced, and has yet to stop pulling."""
    RETIRED = auto()
    """It only finishes what it has begun."""


@dataclass
class _Process:
    key: int
    number: int
    pid: int | None = None
    phase: Phase = Phase.STARTING
    pulling_since: float | None = None
    due_since: float = 0.0
    reason: str = ""
    """Why it is to be replaced."""
    failure: str = ""
    """Why it could not start, in its own words."""

    def __str__(self) -> str:
        return f"worker {self.number}" + ("" if self.pid is None else f" (process {self.pid})")


@dataclass
class _Slot:
    """The worker of one number."""

    number: int
    spawn_at: float | None
    """When its next process is started; ``None`` while there is one."""
    process: _Process | None = None
    deaths: int = 0
    has_pulled: bool = False
    fails_to_start: bool = False
    """Whether its last process has died before it pulled."""


@dataclass
class WorkerProcesses:
    """Decides about the worker processes of one supervisor.

    All times are in seconds of one clock.
    """

    count: int
    """How many workers there are."""
    stop_seconds: float
    """How long a process may take to stop before it is killed."""
    random: Callable[[], float] = random.random
    """Gives numbers from 0 to 1."""
    exit_status: int = 0
    """1 if a process did not end with status 0 when it was asked to stop."""
    failure: str = ""
    """Why a worker could not start in the beginning; then all stop."""
    _slots: list[_Slot] = field(default_factory=list)
    _processes: dict[int, _Process] = field(default_factory=dict)
    _actions: list[Action] = field(default_factory=list)
    _keys: int = 0
    _signalled_at: float | None = None
    _is_stopping: bool = False
    _kill_at: float | None = None
    _has_announced: bool = False

    def start(self, now: float) -> None:
        """Begin with all workers."""
        self._slots = [_Slot(number, now) for number in range(1, self.count + 1)]

    @property
    def is_over(self) -> bool:
        """Whether all processes have ended, and none will be started."""
        return self._is_stopping and not self._processes

    # What has happened

    def note_spawned(self, key: int, pid: int) -> None:
        """A process was started."""
        process = self._processes[key]
        process.pid = pid
        self._report(logging.INFO, f"Started {process}.")

    def note_not_spawned(self, key: int, error: object, now: float) -> None:
        """A process could not be started."""
        process = self._processes.pop(key)
        self._restart(process, f"could not be started: {error}", now)

    def note_pulling(self, key: int, now: float) -> None:
        """A process says that it consumes its subscriptions."""
        process = self._processes[key]
        if process.phase is Phase.STARTING:
            process.phase, process.pulling_since = Phase.PULLING, now
        slot = self._slot_of(process)
        slot.has_pulled, slot.fails_to_start = True, False
        if not self._has_announced and all(each.has_pulled for each in self._slots):
            self._has_announced = True
            self._actions.append(AllPull())

    def note_due(self, key: int, reason: str, now: float) -> None:
        """A process asks to be replaced, and says why."""
        process = self._processes[key]
        if process.phase in (Phase.STARTING, Phase.PULLING):
            process.phase, process.due_since, process.reason = Phase.DUE, now, reason

    def note_retired(self, key: int, now: float) -> None:
        """A process that may be replaced takes no more messages."""
        process = self._processes[key]
        slot = self._slot_of(process)
        if process.phase is Phase.RETIRED or slot.process is not process:
            return
        process.phase = Phase.RETIRED
        slot.process, slot.spawn_at = None, now
        self._report(logging.INFO, f"Replacing {process}: {process.reason}.")

    def note_failure(self, key: int, text: str) -> None:
        """A process says why it cannot start; its end follows."""
        self._processes[key].failure = text

    def note_signal(self, now: float) -> None:
        """The supervisor got a signal to stop."""
        if self._signalled_at is None:
            self._signalled_at = now
            self._stop(now)
        elif now - self._signalled_at >= SECOND_SIGNAL_AFTER:
            self._end_at_once(now)

    def note_end(self, key: int, returncode: int, now: float) -> None:
        """A process has ended; ``returncode`` is as :class:`subprocess.Popen` has it."""
        process = self._processes.pop(key)
        slot = self._slot_of(process)
        if self._is_stopping:
            self._note_end_at_stop(process, returncode)
        elif slot.process is not process:
            if returncode:
                self._report(logging.ERROR, f"{process} {describe_end(returncode)}.")
        elif process.failure and not slot.has_pulled:
            self.failure, self.exit_status = process.failure, 1
            self._stop(now)
        else:
            failure = process.failure and f"could not start: {process.failure}"
            self._restart(process, failure or describe_end(returncode), now)

    # What is to be done

    def act(self, now: float) -> list[Action]:
        """What the supervisor has to do now."""
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_all()
        if not self._is_stopping:
            for slot in self._slots:
                if slot.spawn_at is not None and now >= slot.spawn_at:
                    self._spawn(slot)
            self._let_one_leave(now)
        actions, self._actions = self._actions, []
        return [each for each in actions if not self._is_for_one_that_has_ended(each)]

    def _is_for_one_that_has_ended(self, action: Action) -> bool:
        return isinstance(action, (Tell, Kill)) and action.key not in self._processes

    def next_due(self) -> float | None:
        """When :meth:`act` has something to do if nothing happens before; ``None``: never."""
        if self._is_stopping:
            return self._kill_at
        return min(self._due_times(), default=None)

    def _due_times(self) -> Iterator[float]:
        for slot in self._slots:
            if slot.spawn_at is not None:
                yield slot.spawn_at
            elif (process := self._waiting_for_its_turn(slot)) and not self._one_fails_to_start:
                yield process.due_since + LONGEST_TURN

    def _spawn(self, slot: _Slot) -> None:
        self._keys += 1
        slot.process = self._processes[self._keys] = _Process(self._keys, slot.number)
        slot.spawn_at = None
        self._actions.append(Spawn(self._keys, slot.number))

    def _restart(self, process: _Process, why: str, now: float) -> None:
        slot = self._slot_of(process)
        since = process.pulling_since
        if since is not None and now - since >= HEALTHY_AFTER:
            slot.deaths = 0
        # The exponent is bounded because a float is.
        longest = min(FIRST_PAUSE * 2 ** min(slot.deaths, 16), LONGEST_PAUSE)
        pause = longest * (0.5 + 0.5 * self.random())
        slot.deaths += 1
        slot.fails_to_start = since is None
        slot.process, slot.spawn_at = None, now + pause
        self._report(logging.ERROR, f"{process} {why.rstrip('.')}. Restarting it in {pause:.1f} s.")

    def _let_one_leave(self, now: float) -> None:
        """Let a worker that asks for it be replaced: one at a time, so that the others pull."""
        for slot in self._slots:
            process = self._waiting_for_its_turn(slot)
            if process and (self._others_pull(slot) or self._waits_for_long(process, now)):
                process.phase = Phase.LEAVING
                self._actions.append(Tell(process.key, "recycle"))

    def _waiting_for_its_turn(self, slot: _Slot) -> _Process | None:
        """The process of the worker if it asks to be replaced, and could be."""
        process = slot.process
        is_due = process is not None and process.phase is Phase.DUE
        return process if is_due and not self._predecessor(slot) else None

    def _waits_for_long(self, process: _Process, now: float) -> bool:
        return now - process.due_since >= LONGEST_TURN and not self._one_fails_to_start

    @property
    def _one_fails_to_start(self) -> bool:
        """Whether a replacement might not start either: rather a large worker than none."""
        return any(slot.fails_to_start for slot in self._slots)

    def _others_pull(self, slot: _Slot) -> bool:
        return all(
            other.process is not None and other.process.phase in (Phase.PULLING, Phase.DUE)
            for other in self._slots
            if other is not slot
        )

    def _predecessor(self, slot: _Slot) -> bool:
        """Whether a former process of the worker has yet to end: else they could pile up."""
        return any(
            each.number == slot.number and each.phase is Phase.RETIRED
            for each in self._processes.values()
        )

    def _stop(self, now: float) -> None:
        self._is_stopping = True
        self._kill_at = now + self.stop_seconds
        self._actions += [Tell(key, "stop") for key in self._processes]

    def _end_at_once(self, now: float) -> None:
        self.exit_status = 1
        self._kill_at = min(now + LAST_WORDS, self._kill_at or now)
        self._actions += [Tell(key, "end") for key in self._processes]

    def _kill_all(self) -> None:
        self._kill_at = None
        for process in self._processes.values():
            self._report(
                logging.ERROR,
                f"{process} has not ended in time and is killed: the messages of its running "
                "handlers will be redelivered.",
            )
            self._actions.append(Kill(process.key))

    def _note_end_at_stop(self, process: _Process, returncode: int) -> None:
        if returncode == 0 or process.failure == self.failure != "":
            return
        if process.phase is Phase.STARTING and is_stop_signal(returncode):
            return  # the signal came before it could catch it, and it had no message yet
        self.exit_status = 1
        self._report(logging.ERROR, f"{process} {describe_end(returncode)}.")

    def _slot_of(self, process: _Process) -> _Slot:
        return self._slots[process.number - 1]

    def _report(self, level: int, text: str) -> None:
        self._actions.append(Report(level, text[0].upper() + text[1:]))
