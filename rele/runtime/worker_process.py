"""This process as one of the workers that a supervisor has started, and what connects the two.

Each side sends lines of JSON over a pair of sockets. If a supervisor is killed, its side is closed,
which its workers notice.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache

from rele.exceptions import ConfigurationError
from rele.runtime.stopping import STOP_SIGNALS

VARIABLE = "RELE_WORKER_PROCESS"
"""In the environment of a worker: its number and the descriptor of its socket, ``NUMBER:FD``."""

BLOCKED_AT_START = ("SIGTSTP", *STOP_SIGNALS)
"""Signals that wait until the worker can catch them: Python would end with a traceback."""

_CHUNK = 65536
"""Bytes that are read at a time."""


class WorkerProcess:
    """This process, as the supervisor knows it.

    Args:
        number: of the worker, from 1.
        connection: to the supervisor.
    """

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number = number
        self._connection = connection
        self._lock = threading.Lock()

    @property
    def is_first(self) -> bool:
        """Whether it is the one worker beside which the rooms run what they have for a worker."""
        return self.number == 1

    def tell(self, event: str, text: str = "") -> bool:
        """Send ``event`` to the supervisor; return whether there is one to get it."""
        with self._lock:
            return send_line(self._connection, event, text)

    def obey(self, commands: Mapping[str, Callable[[], object]]) -> None:
        """Carry out each command of the supervisor, in a thread, and let signals through.

        Call it in the main thread, once signals are caught.

        Args:
            commands: what to call, by command; ``alone`` is called if the supervisor has ended.
        """
        thread = threading.Thread(
            target=self._obey, args=(commands,), name="rele-supervised", daemon=True
        )
        thread.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals_blocked_at_start())

    def _obey(self, commands: Mapping[str, Callable[[], object]]) -> None:
        lines = Lines()
        with suppress(OSError):
            while data := self._connection.recv(_CHUNK):
                for command, _ in lines.read(data):
                    commands[command]()
        commands["alone"]()


@cache
def this_worker_process() -> WorkerProcess | None:
    """This process, if a supervisor has started it as a worker.

    Raises:
        ConfigurationError: it has, but the connection to it is gone.
    """
    value = os.environ.get(VARIABLE)
    if value is None:
        return None
    try:
        number, descriptor = map(int, value.split(":"))
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ValueError(value)
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            f"{VARIABLE}={value} is in the environment, but this process was not started by "
            "--processes, or has closed the descriptor: unset the variable."
        ) from error
    # Neither is for the processes that this one starts.
    del os.environ[VARIABLE]
    os.set_inheritable(descriptor, False)
    import multiprocessing  # what %(processName)s shows in log records comes from it

    multiprocessing.current_process().name = f"worker-{number}"
    return WorkerProcess(number, socket.socket(fileno=descriptor))


def signals_blocked_at_start() -> set[signal.Signals]:
    """Those of :data:`BLOCKED_AT_START` that this system has."""
    return {signal.Signals[name] for name in BLOCKED_AT_START if hasattr(signal, name)}


def send_line(connection: socket.socket, word: str, text: str = "") -> bool:
    """Send one line; return whether the other side can get it."""
    try:
        connection.sendall(json.dumps([word, text]).encode("ascii") + b"\n")
    except OSError:
        return False
    return True


class Lines:
    """Puts the lines together that arrive in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, data: bytes) -> Iterator[tuple[str, str]]:
        """The lines that ``data`` completes, each as its word and its text."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, text = json.loads(line)
            yield word, text
