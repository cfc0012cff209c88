"""The front door on machines that lack something."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import REPOSITORY

OLD = "exit 1"
WITHOUT_VENV = 'case "$*" in *ensurepip*) exit 1;; esac'


@pytest.mark.parametrize(
    ("behaviour", "advice"),
    [(OLD, "Relé needs Python 3.10 or later"), (WITHOUT_VENV, "apt-get install python3-venv")],
)
def test_make_says_in_one_line_what_to_install(tmp_path: Path, behaviour: str, advice: str) -> None:
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{behaviour}\n")
    python.chmod(0o755)

    result = subprocess.run(
        ["make", f"PYTHON={python}", "test"], cwd=tmp_path, capture_output=True, text=True
    )

    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert advice in said[0]
    assert not (tmp_path / ".venv").exists()
