"""A process that runs others, each a worker: it starts, replaces and stops them."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from rele.exceptions import ConfigurationError, ReleError
from rele.runtime.stopping import STOP_SIGNALS, catch_stop_signals
from rele.runtime.worker_process import (
    VARIABLE,
    Lines,
    send_line,
    signals_blocked_at_start,
)
from rele.runtime.worker_processes import (
    AllPull,
    Kill,
    Report,
    Spawn,
    Tell,
    WorkerProcesses,
)
from rele.status.encoding import from_json
from rele.status.fleet import Fleet

logger = logging.getLogger(__name__)

_CHUNK = 65536
"""Bytes that are read at a time."""

_CHECK_SECONDS = 10.0
"""The longest interval of the checks whether a process has ended; a signal says so at once."""


class WorkerFailedError(ReleError):
    """A worker could not start; the message is its own."""


def supervise(
    count: int, stop_seconds: float, on_all_pull: Callable[[], object], fleet: Fleet | None = None
) -> int:
    """Run ``count`` workers, each by this process's own command, until a signal stops them.

    Args:
        count: how many.
        stop_seconds: how long a worker may take to stop before it is killed.
        on_all_pull: called when all of them pull for the first time.
        fleet: is kept informed about their state.

    Returns:
        the exit status: 0 if all workers have stopped with status 0.

    Raises:
        ConfigurationError: this is not the main thread, which alone can catch signals, or the
            system has no POSIX signals.
        WorkerFailedError: in the beginning, a worker could not start; the others were stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError(
            "--processes needs the main thread, which Django's autoreloader does not give it: "
            "reload without --processes."
        )
    if not hasattr(signal, "SIGCHLD"):
        raise ConfigurationError("--processes needs Linux, macOS or another POSIX system.")
    workers = WorkerProcesses(count, stop_seconds)
    fleet = fleet or Fleet(socket.gethostname(), count)
    Supervisor(workers, own_command(), on_all_pull, fleet).run()
    if workers.failure:
        raise WorkerFailedError(workers.failure)
    return workers.exit_status


def own_command() -> list[str]:
    """The command line that this process was started with."""
    return [sys.executable or sys.orig_argv[0], *sys.orig_argv[1:]]


class Supervisor:
    """Carries out what ``workers`` decides.

    Args:
        workers: decides.
        command: starts a worker, which finds in its environment that it is one.
        on_all_pull: called when all workers pull for the first time.
        fleet: is kept informed about their state.
    """

    def __init__(
        self,
        workers: WorkerProcesses,
        command: Sequence[str],
        on_all_pull: Callable[[], object],
        fleet: Fleet,
    ) -> None:
        self._workers = workers
        self._fleet = fleet
        self._command = command
        self._on_all_pull = on_all_pull
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._connections: dict[int, _Connection] = {}
        self._signals: list[int] = []
        self._noted_signals = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Return when all workers have ended after a signal, or since one could not start."""
        workers = self._workers
        with self._selector, _woken_by_signals(self._selector), self._catching_signals():
            try:
                workers.start(time.monotonic())
                while True:
                    while actions := workers.act(time.monotonic()):
                        for action in actions:
                            self._carry_out(action)
                    if workers.is_over:
                        return
                    self._wait()
                    self._note()
            finally:
                for connection in self._connections.values():
                    connection.socket.close()  # so that no worker outlives this process

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        undo = catch_stop_signals(self._note_signal, *STOP_SIGNALS, "SIGTSTP")
        before = signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it wakes this process
        try:
            yield
        finally:
            signal.signal(signal.SIGCHLD, before)
            if not self._signals:
                undo()  # else the process ends, and further signals must not change its status

    def _note_signal(self, signum: int, frame: object) -> None:
        self._signals.append(signum)

    def _take_signals(self) -> None:
        while self._noted_signals < len(self._signals):
            self._noted_signals += 1
            self._workers.note_signal(time.monotonic())
            self._fleet.note_stop()

    def _carry_out(self, action: object) -> None:
        match action:
            case Spawn(key, number):
                self._spawn(key, number)
            case Tell(key, command):
                send_line(self._connections[key].socket, command)
            case Kill(key):
                self._processes[key].kill()
            case Report(level, text):
                logger.log(level, "%s", text)
            case AllPull():
                self._on_all_pull()

    def _spawn(self, key: int, number: int) -> None:
        try:
            own_end, its_end = socket.socketpair()
        except OSError as error:
            self._workers.note_not_spawned(key, error, time.monotonic())
            return
        own_end.setblocking(False)
        descriptor = its_end.fileno()
        try:
            with its_end, _stop_signals_blocked():
                process = subprocess.Popen(
                    self._command,
                    env={**os.environ, VARIABLE: f"{number}:{descriptor}"},
                    pass_fds=[descriptor],
                )
        except OSError as error:
            own_end.close()
            self._workers.note_not_spawned(key, error, time.monotonic())
            return
        self._processes[key], self._connections[key] = process, _Connection(own_end)
        self._selector.register(own_end, selectors.EVENT_READ, key)
        self._workers.note_spawned(key, process.pid)
        self._fleet.note_spawned(key, number, process.pid, time.monotonic())

    def _wait(self) -> None:
        due = self._workers.next_due()
        seconds = _CHECK_SECONDS if due is None else min(due - time.monotonic(), _CHECK_SECONDS)
        for ready, _ in self._selector.select(max(seconds, 0)):
            if ready.data is None:
                ready.fileobj.recv(_CHUNK)  # type: ignore[union-attr]  # a signal has come
            elif not self._read(ready.data):
                self._selector.unregister(ready.fileobj)

    def _read(self, key: int) -> bool:
        """Note what a worker says; return whether it may say more."""
        connection = self._connections[key]
        try:
            data = connection.socket.recv(_CHUNK)
        except OSError:
            return False
        now = time.monotonic()
        for event, text in connection.lines.read(data):
            match event:
                case "pulling":
                    self._workers.note_pulling(key, now)
                case "due":
                    self._workers.note_due(key, text, now)
                case "retired":
                    self._workers.note_retired(key, now)
                    self._fleet.note_retired(key)
                case "status":
                    self._fleet.note_snapshot(key, from_json(text), now)
                case "failed":
                    self._workers.note_failure(key, text)
        return bool(data)

    def _note(self) -> None:
        """Note signals, then the ends of processes, each after all that the process has said."""
        self._take_signals()
        for key, process in list(self._processes.items()):
            returncode = process.poll()
            if returncode is None:
                continue
            while self._read(key):
                pass
            own_end = self._connections.pop(key).socket
            with suppress(KeyError):
                self._selector.unregister(own_end)
            own_end.close()
            del self._processes[key]
            # Again: a signal to the whole group has reached this process before it ended another.
            self._take_signals()
            self._workers.note_end(key, returncode, time.monotonic())
            self._fleet.note_ended(key)


@dataclass(frozen=True)
class _Connection:
    socket: socket.socket
    lines: Lines = field(default_factory=Lines)


@contextmanager
def _woken_by_signals(selector: selectors.BaseSelector) -> Iterator[None]:
    """Within the block, a signal ends the wait of ``selector``, in whatever thread it arrives."""
    with ExitStack() as stack:
        reader, writer = socket.socketpair()
        for end in (stack.enter_context(reader), stack.enter_context(writer)):
            end.setblocking(False)
        selector.register(reader, selectors.EVENT_READ)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        yield


@contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """Within the block, signals that stop wait, and in a process that is started there, too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals_blocked_at_start())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
