"""What ``python -m benchmarks.instructions`` counts runs to its end, without being counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["publishing", "consuming"])
def test_what_is_counted_handles_all_its_messages(kind: str, tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"instructions_{kind}.py"), "--pieces"],
        env={**os.environ, "PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert completed.returncode == 0, completed.stderr
    assert len(completed.stdout.splitlines()) > 1
