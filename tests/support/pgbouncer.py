"""PgBouncer in transaction mode, of the distribution's binary."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.support.polling import wait_until
from tests.support.servers import free_port, skip_for_missing

_USER = "postgres"

_SETTINGS = """
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
server_round_robin = 1
min_pool_size = 2
default_pool_size = 2
ignore_startup_parameters = extra_float_digits,options
"""
"""With two connections to the server, which are used in turn."""


@contextmanager
def running(postgres_url: str) -> Iterator[str]:
    """Run it in front of a PostgreSQL server, and give the URL of the same database through it."""
    binary = shutil.which("pgbouncer", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin")))
    if binary is None:
        skip_for_missing("PgBouncer", "RELE_REQUIRE_PGBOUNCER")
    server = urlsplit(postgres_url)
    own_port = free_port()
    with tempfile.TemporaryDirectory(prefix="rele-pgbouncer-") as folder:
        settings = Path(folder) / "settings.ini"
        settings.write_text(
            _SETTINGS.format(
                host=server.hostname, port=server.port, user=server.username, own_port=own_port
            )
        )
        url = f"postgres://{_USER}@127.0.0.1:{own_port}{server.path}"
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [binary, str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_as_user(Path(folder)),
            )
        try:
            wait_until(lambda: _can_be_used(url), 20, (Path(folder) / "log").read_text)
            yield url
        finally:
            process.kill()
            process.wait(20)


def _can_be_used(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _as_user(folder: Path) -> dict[str, Any]:
    """How to start it: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(_USER)
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, _USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
