"""A unit test that starts a process fails, in a pytest run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

TESTS = """
import contextlib
import os
import subprocess
import sys

import pytest

NOTHING = [sys.executable, "-c", ""]

@pytest.fixture(scope="session")
def server():
    with subprocess.Popen(NOTHING) as process:
        yield process

def test_a_process():
    subprocess.run(NOTHING)

def test_a_fork():
    if os.fork() == 0:
        os._exit(0)

def test_that_catches_it():
    with contextlib.suppress(RuntimeError):
        subprocess.run(NOTHING)

def test_of_a_server(server):
    pass

def test_of_a_unit():
    pass
"""


def test_a_unit_test_that_starts_a_process_fails(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(TESTS)

    completed = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-rfEp", "-p", "tests.unit.conftest"),
            *("-p", "no:cacheprovider", "-p", "no:django"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    outcomes = {
        line.split(" - ")[0].replace("test_shop.py::", "")
        for line in completed.stdout.splitlines()
        if line.startswith(("FAILED ", "ERROR ", "PASSED "))
    }
    assert outcomes == {
        *("FAILED test_a_process", "ERROR test_a_process"),
        *("FAILED test_a_fork", "ERROR test_a_fork"),
        *("PASSED test_that_catches_it", "ERROR test_that_catches_it"),
        "ERROR test_of_a_server",
        "PASSED test_of_a_unit",
    }, completed.stdout
    assert "starts a process by subprocess.Popen: a unit test starts none" in completed.stdout
