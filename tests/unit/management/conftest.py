"""Django apps of a test's own, for the commands to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks.registry import registry

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
    # Neither the addresses of the test project's admin nor the checks of its apps are installed.
    settings.ROOT_URLCONF = None
    checks = registry.registered_checks
    of_others = {check for check in checks if not check.__module__.startswith("django.contrib.")}
    monkeypatch.setattr(registry, "registered_checks", of_others)

    def install(name: str, files: dict[str, str]) -> Path:
        folder = tmp_path.joinpath(*name.split("."))
        for file, content in {"__init__.py": "", **files}.items():
            write_file(folder / file, content)
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, name]
        return folder

    with forgotten(tmp_path):
        yield install
