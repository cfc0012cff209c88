"""What the process has in use, as a test wants it: middleware of its own, no Django project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rele.config import Config
from rele.middleware import register_middleware
from rele.runtime.in_use import IN_USE

_instances: dict[str, Any] = {}


def register(*middlewares: Any) -> None:
    """Let the hooks of ``middlewares`` run, and no others, until all is forgotten after the test.

    They are set up with a configuration that states nothing else.
    """
    _instances.clear()
    _instances.update((f"given_{number}", each) for number, each in enumerate(middlewares))
    register_middleware(Config({"MIDDLEWARE": [f"{__name__}.{name}" for name in _instances]}))


def __getattr__(name: str) -> Callable[[], Any]:
    if name in _instances:
        return lambda: _instances[name]
    raise AttributeError(name)


def without_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the settings be read as where no Django app has said how, until the test ends."""
    monkeypatch.setattr(IN_USE, "read_settings", None)
    monkeypatch.setattr(IN_USE, "read_configuration", None)
