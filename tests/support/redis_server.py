"""A Redis server for the tests, of the distribution's binary."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.servers import free_port, skip_for_missing, wait_for_port


@contextmanager
def started() -> Iterator[str]:
    """Run a server that keeps nothing, on a port of its own, and give its URL."""
    program = shutil.which("redis-server")
    if program is None:
        skip_for_missing("Redis", "RELE_REQUIRE_REDIS")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="rele-redis-") as folder:
        process = subprocess.Popen(
            [
                *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder),
                *("--save", "", "--appendonly", "no"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(timeout=30)
