"""A PostgreSQL server for the tests, of the distribution's binaries."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port, skip_for_missing

_DISTRIBUTIONS_PLACE = Path("/usr/lib/postgresql")
_USER = "postgres"


@contextmanager
def started(*, fsync: bool = False) -> Iterator[str]:
    """Run a server of its own on a free port and give the URL of an empty database.

    ``initdb`` refuses to run as root: there, the server runs as the user ``postgres``. Without
    ``fsync`` a commit does not wait for the disk, as nothing here outlives the machine.
    """
    bin_folder = _bin_folder()
    if bin_folder is None:
        skip_for_missing("PostgreSQL", "RELE_REQUIRE_POSTGRES")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rele-postgres-") as folder:
        data = Path(folder, "data")
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        _run(
            bin_folder / "initdb",
            *("--pgdata", data, "--auth", "trust", "--username", _USER, "--no-sync"),
            *("--encoding", "UTF8", "--no-locale"),
        )
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories="
        _run(
            *(bin_folder / "pg_ctl", "start", "--wait", "--pgdata", data),
            *(
                "--log",
                Path(folder, "log"),
                "--options",
                f"{options} -c fsync={'on' if fsync else 'off'}",
            ),
        )
        try:
            yield f"postgres://{_USER}@127.0.0.1:{port}/postgres"
        finally:
            _run(bin_folder / "pg_ctl", "stop", "--pgdata", data, "--mode", "immediate")


def _bin_folder() -> Path | None:
    """Where ``initdb`` and ``pg_ctl`` are: on the PATH, else the distribution's newest."""
    on_path = shutil.which("pg_ctl")
    if on_path and shutil.which("initdb"):
        return Path(on_path).parent
    versions = [path for path in _DISTRIBUTIONS_PLACE.glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: int(path.parent.name), default=None)


def _run(*command: object) -> None:
    user = pwd.getpwnam(_USER) if os.geteuid() == 0 else None
    subprocess.run(
        [str(part) for part in command],
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        timeout=60,
    )
