"""A PostgreSQL server for the tests, of the distribution's binaries."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.servers import free_port, skip_for_missing

_DISTRIBUTIONS_PLACE = Path("/usr/lib/postgresql")
_USER = "postgres"
_SECONDS = 60


class PostgreSQL:
    """A server on a port of its own, which can be killed and started again on its data.

    ``initdb`` refuses to run as root: there, the server runs as the user ``postgres``.

    Args:
        folder: for the data; a place that any user can reach.
        fsync: survive a crash of the machine, too, and be slower.
    """

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        bin_folder = _bin_folder()
        if bin_folder is None:
            skip_for_missing("PostgreSQL", "RELE_REQUIRE_POSTGRES")
        self._folder = folder
        port = free_port()
        self.url = f"postgres://{_USER}@127.0.0.1:{port}/postgres"
        data = folder / "data"
        self._command = [
            *(str(bin_folder / "postgres"), "-D", str(data)),
            *("-c", "listen_addresses=127.0.0.1", "-c", f"port={port}"),
            *("-c", "unix_socket_directories=", "-c", f"fsync={fsync}"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        subprocess.run(
            [
                *(str(bin_folder / "initdb"), "--pgdata", str(data), "--auth", "trust"),
                *("--username", _USER, "--no-sync", "--encoding", "UTF8", "--no-locale"),
            ],
            check=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **_as_user(),
        )

    def start(self) -> None:
        """Return when it can be used."""
        deadline = time.monotonic() + _SECONDS
        while not self._can_be_used():
            if self._process is None or self._process.poll() is not None:
                # Again, too: it refuses while the last process of one that was killed is there.
                self._launch()
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)  # it notifies nobody

    def stop(self) -> None:
        """A fast shutdown: what is not committed is rolled back, and clients are cut off."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """``kill -9`` of the postmaster; its other processes end when they notice."""
        self._end(signal.SIGKILL)

    def _launch(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_user(),
            )

    def _can_be_used(self) -> bool:
        if self._process is None:
            return False
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(_SECONDS)
            self._process = None


@contextmanager
def running(*, fsync: bool = False) -> Iterator[PostgreSQL]:
    """Run a server on an empty database, and end it, whatever has become of it."""
    with tempfile.TemporaryDirectory(prefix="rele-postgres-") as folder:
        server = PostgreSQL(Path(folder), fsync=fsync)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def started(*, fsync: bool = False) -> Iterator[str]:
    """Run a server, and give the URL of an empty database."""
    with running(fsync=fsync) as server:
        yield server.url


def _bin_folder() -> Path | None:
    """Where ``initdb`` and ``postgres`` are: on the PATH, else the distribution's newest."""
    on_path = shutil.which("postgres")
    if on_path and shutil.which("initdb"):
        return Path(on_path).parent
    versions = [path for path in _DISTRIBUTIONS_PLACE.glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: int(path.parent.name), default=None)


def _as_user() -> dict[str, Any]:
    """How to start a process of the server."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    user = pwd.getpwnam(_USER)
    return {"cwd": "/", "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
