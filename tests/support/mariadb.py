"""A MariaDB server for the tests, of the distribution's binaries."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support.servers import free_port, skip_for_missing

_SECONDS = 60
_LOOPBACK = "127.0.0.1"


class MariaDB:
    """A server on a port of its own, whose user ``root`` has no password.

    Args:
        folder: for the data.
    """

    def __init__(self, folder: Path) -> None:
        install, daemon = _binaries()
        self._log = folder / "log"
        self._port = free_port()
        data = folder / "data"
        # The server refuses to run as root unless it is said explicitly.
        user = ("--user=root",) if os.geteuid() == 0 else ()
        with self._log.open("ab") as log:
            subprocess.run(
                [install, "--no-defaults", f"--datadir={data}", "--skip-test-db",
                 "--auth-root-authentication-method=normal", *user],
                check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
            self._process = subprocess.Popen(
                [daemon, "--no-defaults", f"--datadir={data}", f"--bind-address={_LOOPBACK}",
                 f"--port={self._port}", f"--socket={folder / 'socket'}",
                 f"--pid-file={folder / 'pid'}", "--innodb-flush-log-at-trx-commit=0", *user],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def url_of(self, database: str) -> str:
        """The URL of a database as ``django-environ`` reads it."""
        return f"mysql://root@{_LOOPBACK}:{self._port}/{database}"

    def wait(self) -> None:
        """Return when it can be used."""
        deadline = time.monotonic() + _SECONDS
        while not self._can_be_used():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)  # it notifies nobody

    def execute(self, statement: str) -> None:
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)  # its data is deleted
        self._process.wait(_SECONDS)

    def _can_be_used(self) -> bool:
        import MySQLdb

        try:
            self._connect().close()
        except MySQLdb.OperationalError:
            return False
        return True

    def _connect(self) -> Any:
        import MySQLdb

        return MySQLdb.connect(host=_LOOPBACK, port=self._port, user="root")


@contextmanager
def started(database: str) -> Iterator[str]:
    """Run a server with an empty database of that name, and give the URL of it."""
    _binaries()
    provide_driver()
    with tempfile.TemporaryDirectory(prefix="rele-mariadb-") as folder:
        server = MariaDB(Path(folder))
        try:
            server.wait()
            server.execute(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
            yield server.url_of(database)
        finally:
            server.stop()


def provide_driver() -> None:
    """Let PyMySQL stand in for mysqlclient, which Django knows, where that is not installed.

    It is pure Python, so that no compiler is needed to run the tests.
    """
    if importlib.util.find_spec("MySQLdb") is None:
        import pymysql

        pymysql.version_info = (2, 2, 7, "final", 0)  # Django asks for a version of mysqlclient
        pymysql.install_as_MySQLdb()


def _binaries() -> tuple[str, str]:
    """``mariadb-install-db`` and ``mariadbd``; skips the test where they are not installed."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    install = shutil.which("mariadb-install-db", path=path)
    daemon = shutil.which("mariadbd", path=path)
    if install is None or daemon is None:
        skip_for_missing("MariaDB", "RELE_REQUIRE_MARIADB")
    return install, daemon
