"""The newcomer's path, from the built wheel."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.readme import REPOSITORY


@pytest.mark.timeout(300)
def test_from_an_empty_folder_to_a_handled_message() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.newcomer"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )

    assert result.returncode == 0, result.stderr
    assert "\nA handled message after " in f"\n{result.stdout}"
    print(result.stdout)
