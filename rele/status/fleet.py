"""The processes of one supervisor, as it hears of them. No clock, no process, no thread."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rele.status.snapshot import Complaint, Phase, Probe, Snapshot

SILENT_AFTER = 30.0
"""Seconds without a word after which a process counts as stuck."""


@dataclass
class _Process:
    number: int
    pid: int
    since: float
    snapshot: Snapshot | None = None
    heard_at: float = 0.0
    is_replaced: bool = False
    has_ended: bool = False


class Fleet:
    """Keeps the last snapshot of each process.

    Another thread may read it while the supervisor's notes what happens.

    Args:
        host: the name of this machine.
        count: how many workers there are, numbered from 1.
        silent_after: seconds, as in :data:`SILENT_AFTER`.
    """

    def __init__(self, host: str, count: int, silent_after: float = SILENT_AFTER) -> None:
        self._host = host
        self._count = count
        self._silent_after = silent_after
        self._processes: dict[int, _Process] = {}
        self._is_stopping = False

    def note_spawned(self, key: int, number: int, pid: int, now: float) -> None:
        """A process was started for the worker of this number."""
        for old, process in list(self._processes.items()):
            if process.number == number and process.has_ended:
                del self._processes[old]
        self._processes[key] = _Process(number, pid, now)

    def note_snapshot(self, key: int, snapshot: Snapshot, now: float) -> None:
        """A process has sent its snapshot."""
        process = self._processes[key]
        process.snapshot, process.heard_at = snapshot, now

    def note_retired(self, key: int) -> None:
        """Another process is about to take the place of this one."""
        self._processes[key].is_replaced = True

    def note_ended(self, key: int) -> None:
        """A process has ended. Unless it was replaced, it is shown until another is started."""
        if self._processes[key].is_replaced:
            del self._processes[key]
        else:
            self._processes[key].has_ended = True

    def note_stop(self) -> None:
        """All processes are asked to stop."""
        self._is_stopping = True

    def snapshots(self, now: float, now_since_epoch: float) -> list[Snapshot]:
        """One of each process: its last one, with what the supervisor knows better.

        Args:
            now: in seconds of the clock of the notes.
            now_since_epoch: the same moment, in seconds since the epoch.
        """
        processes = list(self._processes.values())
        missing = set(range(1, self._count + 1)) - {each.number for each in processes}
        return [
            *(self._snapshot_of(each, now, now_since_epoch) for each in processes),
            *(self._not_started(number, now_since_epoch) for number in sorted(missing)),
        ]

    def _not_started(self, number: int, now_since_epoch: float) -> Snapshot:
        name = f"{self._host}:-/{number}"
        return Snapshot(name, now_since_epoch, now_since_epoch, Phase.STARTING)

    def _snapshot_of(self, process: _Process, now: float, now_since_epoch: float) -> Snapshot:
        snapshot = process.snapshot or Snapshot(
            f"{self._host}:{process.pid}/{process.number}",
            taken_at=now_since_epoch,
            started_at=now_since_epoch - (now - process.since),
            phase=Phase.STARTING,
        )
        snapshot = replace(snapshot, is_replaced=process.is_replaced)
        if process.has_ended:
            return replace(snapshot, phase=Phase.ENDED, subscriptions=(), complaints=())
        if self._is_stopping:
            snapshot = replace(snapshot, phase=Phase.DRAINING)
        if process.snapshot is None or now - process.heard_at < self._silent_after:
            return snapshot
        return replace(
            snapshot,
            complaints=(*snapshot.complaints, _silent(now - process.heard_at)),
        )


def _silent(seconds: float) -> Complaint:
    return Complaint(
        Probe.LIVE,
        "worker",
        f"It has not reported for {seconds:.0f} s: a handler holds the interpreter, such as in a "
        "regular expression or a long call of a C library, or the process is suspended.",
    )
