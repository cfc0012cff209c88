"""A MariaDB server for the tests, of the distribution's binaries; and MySQL, where one is given."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import environ
import pytest

from tests.support.servers import free_port, note_missing, skip_for_missing

_SECONDS = 60
_LOOPBACK = "127.0.0.1"
_DATABASE = "rele"

_WITHOUT_AIO = "--innodb-use-native-aio=OFF"
"""The kernel has few of these, and several servers run side by side."""


class MariaDB:
    """A server on a port of its own, which can be killed and started again on its data.

    Its user ``root`` has no password.

    Args:
        folder: for the data.
    """

    def __init__(self, folder: Path) -> None:
        install, daemon = _binaries()
        provide_driver()
        self._log = folder / "log"
        port = free_port()
        self.url = f"mysql://root@{_LOOPBACK}:{port}/{_DATABASE}"
        data = folder / "data"
        temporary = folder / "tmp"  # a server deletes what it finds in it, of others, too
        temporary.mkdir()
        # The server refuses to run as root unless it is said explicitly.
        user = ("--user=root",) if os.geteuid() == 0 else ()
        self._command = [
            daemon, "--no-defaults", f"--datadir={data}", f"--bind-address={_LOOPBACK}",
            f"--port={port}", f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}",
            f"--tmpdir={temporary}",
            # What is committed survives a crash of the server, but not of the machine.
            "--innodb-flush-log-at-trx-commit=2", _WITHOUT_AIO, *user,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        with self._log.open("ab") as log:
            installed = subprocess.run(
                [install, "--no-defaults", f"--datadir={data}", "--skip-test-db",
                 "--auth-root-authentication-method=normal", f"--tmpdir={temporary}",
                 _WITHOUT_AIO, *user],
                timeout=_SECONDS, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        assert installed.returncode == 0, self._log.read_text()

    def start(self) -> None:
        """Return when it can be used."""
        deadline = time.monotonic() + _SECONDS
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not self._can_be_used():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)  # it notifies nobody

    def stop(self) -> None:
        """An orderly shutdown: what is not committed is rolled back, and clients are cut off."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(_SECONDS)
            self._process = None

    def _can_be_used(self) -> bool:
        import MySQLdb

        try:
            execute(self.url, f"CREATE DATABASE IF NOT EXISTS {_DATABASE} CHARACTER SET utf8mb4")
        except MySQLdb.OperationalError:
            return False
        return True


@contextmanager
def running() -> Iterator[MariaDB]:
    """Run a server on an empty database, and end it, whatever has become of it."""
    with tempfile.TemporaryDirectory(prefix="rele-mariadb-") as folder:
        server = MariaDB(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()  # its data is deleted


@contextmanager
def started() -> Iterator[str]:
    """Run a server, and give the URL of an empty database."""
    with running() as server:
        yield server.url


@contextmanager
def mysql() -> Iterator[str]:
    """The URL of an empty database on the server of RELE_TEST_MYSQL_URL.

    Its user must be allowed to create databases. Without the variable the test is skipped.
    """
    given = os.environ.get("RELE_TEST_MYSQL_URL")
    if not given:
        reason = "SKIPPED, because RELE_TEST_MYSQL_URL names no server: all tests on MySQL"
        note_missing([reason])
        pytest.skip(reason)
    provide_driver()
    name = f"rele_{uuid.uuid4().hex}"
    execute(given, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield f"{given.rpartition('/')[0]}/{name}"
    finally:
        execute(given, f"DROP DATABASE {name}")


def execute(url: str, statement: str, *, using: str = "") -> list[tuple[Any, ...]]:
    """Execute a statement on the server of ``url``, and return its rows.

    Args:
        url: as ``django-environ`` reads it.
        statement: the statement.
        using: the database in which it is executed.
    """
    import MySQLdb

    server = environ.Env.db_url_config(url)
    with closing(
        MySQLdb.connect(
            host=server["HOST"],
            port=int(server["PORT"] or 3306),
            user=server["USER"],
            password=server["PASSWORD"],
            database=using,
            charset="utf8mb4",
            autocommit=True,
        )
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def provide_driver() -> None:
    """Let PyMySQL stand in for mysqlclient, which Django knows, where that is not installed.

    It is pure Python, so that no compiler is needed to run the tests.
    """
    if importlib.util.find_spec("MySQLdb") is None:
        import pymysql

        pymysql.version_info = (2, 2, 7, "final", 0)  # Django asks for a version of mysqlclient
        pymysql.install_as_MySQLdb()
        note_missing(["Tested with PyMySQL, because mysqlclient is not installed: MariaDB"])


def _binaries() -> tuple[str, str]:
    """``mariadb-install-db`` and ``mariadbd``; skips the test where they are not installed."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    install = shutil.which("mariadb-install-db", path=path)
    daemon = shutil.which("mariadbd", path=path)
    if install is None or daemon is None:
        skip_for_missing("MariaDB", "RELE_REQUIRE_MARIADB")
    return install, daemon
