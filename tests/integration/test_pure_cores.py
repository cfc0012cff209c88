"""The tests of what decides, in a Python that has none of Google's libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_they_need_neither_grpc_nor_protobuf_nor_django() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "tests.support.pure_cores", "-q"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "1 skipped" in completed.stdout, "a text of Google's error"
