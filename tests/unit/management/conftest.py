"""Django apps of a test's own, for the commands to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.modules import forgotten, write_file

InstallApp = Callable[..., Path]


@pytest.fixture
def install_app(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InstallApp]:
    """Install apps with the files that are given (path to content), as all that there are."""
    monkeypatch.syspath_prepend(tmp_path)
    settings.RELE = {"GC_PROJECT_ID": "rele", "MIDDLEWARE": []}
    settings.INSTALLED_APPS = ["rele"]

    def install(name: str, files: dict[str, str]) -> Path:
        folder = tmp_path.joinpath(*name.split("."))
        for file, content in {"__init__.py": "", **files}.items():
            write_file(folder / file, content)
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, name]
        return folder

    with forgotten(tmp_path):
        yield install
