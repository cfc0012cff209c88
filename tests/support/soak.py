"""What takes part in the soak: a publisher, two workers, their server, and what goes wrong."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from rele.emulator.status.query import ask_status
from tests.support.ledger import WRITE, Ledger
from tests.support.project import Project
from tests.support.proxy import Proxy
from tests.support.server_process import Server

RATE = 200
"""Messages a second."""

BACKLOG_WHEN_CALM = 2 * RATE
"""Messages: no more are with workers, or wait, where they keep up."""

SUBS = """
    import hashlib
    import os
    import sqlite3
    import threading

    from rele import sub
    from rele.retry_policy import RetryPolicy

    own = threading.local()

    def database():
        if not hasattr(own, "connection"):
            own.connection = sqlite3.connect("handled.sqlite3", timeout=60)
            own.connection.execute("PRAGMA synchronous = NORMAL")
        return own.connection

    @sub(topic="jobs", threads=4, retry_policy=RetryPolicy(1, 10))
    def work(data, **kwargs):
        checksum = hashlib.sha256(data["payload"].encode()).hexdigest()
        with database() as connection:
            connection.execute("INSERT INTO handled VALUES (?, ?)", (data["number"], checksum))
"""

PUBLISHER = (
    WRITE
    + f"""
    import hashlib
    import random
    import signal
    import time
    from functools import partial

    import rele

    signals = []
    signal.signal(signal.SIGTERM, lambda *arguments: signals.append(arguments))

    def note(number, checksum, future):
        if future.exception() is None:
            write(f"{{checksum}} {{number}}")

    print("publishing", flush=True)
    number, due = 0, time.monotonic()
    while not signals:
        payload = random.randbytes(random.randrange(1000)).hex()
        future = rele.publish("jobs", {{"number": number, "payload": payload}})
        checksum = hashlib.sha256(payload.encode()).hexdigest()
        future.add_done_callback(partial(note, number, checksum))
        number, due = number + 1, due + 1 / {RATE}
        time.sleep(max(0, due - time.monotonic()))
    assert rele.publishing.flush(120)
"""
)


class Figures(NamedTuple):
    """What a process takes of the machine."""

    megabytes: float
    """Resident."""
    threads: int
    files: int
    """Open file descriptors, sockets among them."""

    def __str__(self) -> str:
        return f"{self.megabytes:.1f} MB, {self.threads} threads, {self.files} file descriptors"


class Member:
    """A process that can be started again; what it says goes to a file in the project's folder."""

    def __init__(self, project: Project, name: str, *arguments: str) -> None:
        self._project = project
        self._arguments = arguments
        self.log = project.folder / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None

    def start(self, until: str) -> None:
        """Start it and wait until it says ``until``."""
        said_before = self._said().count(until)
        with self.log.open("a", encoding="utf-8") as log:
            self._process = self._project.start(*self._arguments, output=log)
        deadline = time.monotonic() + 60
        while self._said().count(until) == said_before:
            assert self._process.poll() is None, self._said()[-2000:]
            assert time.monotonic() < deadline, self._said()[-2000:]
            time.sleep(0.05)  # another process writes the file

    def kill(self) -> None:
        """``kill -9``."""
        self._running.kill()
        self._running.wait(timeout=10)

    def stop(self, seconds: float) -> None:
        """End it with SIGTERM; fails unless that takes less than ``seconds``, with status 0."""
        self._running.send_signal(signal.SIGTERM)
        assert self._running.wait(timeout=seconds) == 0, self._said()[-2000:]

    def figures(self) -> Figures:
        process = Path("/proc", str(self._running.pid))
        status = dict(
            line.split(":", 1) for line in (process / "status").read_text().splitlines() if line
        )
        return Figures(
            int(status["VmRSS"].split()[0]) / 1024,
            int(status["Threads"]),
            len(list((process / "fd").iterdir())),
        )

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def _said(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


class Soak:
    """All that runs, and the faults that it has to bear.

    Every process reaches the server through one proxy. One worker meets only the faults of the
    server and the network; the other one is killed and deployed besides.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self.server = Server(folder / "data")
        self._proxy = Proxy(self.server.address)
        self._project = Project(folder, self._proxy.address, "soak")
        self.publisher = Member(self._project, "publisher", "publisher.py")
        self.steady = Member(self._project, "steady", "-m", "rele", "run")
        self.other = Member(self._project, "other", "-m", "rele", "run")
        self.faults: dict[str, Callable[[], None]] = {
            "server killed": self._kill_server,
            "connections cut": self._cut_connections,
            "connections silent": self._silence_connections,
            "worker killed": self._kill_worker,
            "worker deployed": self._deploy_worker,
        }

    def start(self) -> None:
        self._project.write("subs.py", SUBS)
        self._project.write("publisher.py", PUBLISHER)
        self._project.write_settings()
        with closing(self._database()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE handled (number INTEGER, checksum TEXT)")
        self.server.start()
        for worker in (self.steady, self.other):
            worker.start("Pulling messages")
        self.publisher.start("publishing")

    def kill_all(self) -> None:
        self._project.kill_all()
        self._proxy.cut()
        self.server.kill()

    def backlog(self) -> int:
        """How many messages wait, or are with a worker."""
        subscriptions = ask_status(self.server.address)["subscriptions"]
        return sum(each["waiting"] + each["outstanding"] for each in subscriptions)

    def wait_for_backlog(self, at_most: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (backlog := self.backlog()) > at_most:
            assert time.monotonic() < deadline, f"{backlog} messages are left after {seconds} s"
            time.sleep(0.2)  # other processes work on it

    def accepted(self) -> dict[int, str]:
        """The messages that Pub/Sub has accepted, with their checksums."""
        lines = Ledger(self._project.folder).lines()
        return {line.number: line.word for line in lines}

    def handled(self) -> list[tuple[int, str]]:
        """What was handled, in order: each message with the checksum that it then had."""
        with closing(self._database()) as database:
            query = "SELECT number, checksum FROM handled ORDER BY rowid"
            return database.execute(query).fetchall()

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self._project.folder / "handled.sqlite3", timeout=60)

    def _last(self, at_least: float, at_most: float) -> None:
        time.sleep(self._chance.uniform(at_least, at_most))

    def _kill_server(self) -> None:
        self.server.kill()
        self._last(0, 5)
        self.server.start()

    def _cut_connections(self) -> None:
        self._proxy.cut()
        self._last(0, 10)
        self._proxy.resume()

    def _silence_connections(self) -> None:
        """Let bytes vanish for a while, until somebody notices and ends the connections."""
        self._proxy.stall()
        self._last(1, 20)
        self._proxy.cut()
        self._proxy.resume()

    def _kill_worker(self) -> None:
        self.other.kill()
        self._last(0, 2)
        self.other.start("Pulling messages")

    def _deploy_worker(self) -> None:
        self.other.stop(35)
        self.other.start("Pulling messages")
