"""The lock of a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from rele.contrib.outbox.relaying.relay_lock import FileLock

HOLD_AND_FORK = """
import os, sys, time
from django.conf import settings
settings.configure()
from rele.contrib.outbox.relaying.relay_lock import FileLock

lock = FileLock(sys.argv[1])
lock.hold("first")
if not os.fork():
    print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_a_child_of_a_relay_that_is_killed_keeps_no_other_off(tmp_path: Path) -> None:
    database = str(tmp_path / "shop.sqlite3")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_FORK, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait(10)

        lock = FileLock(database)
        lock.hold("second")
        lock.release()
        os.kill(child, 0)  # it is still there
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()
        assert process.stdin is not None
        process.stdin.close()
