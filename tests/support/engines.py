"""The engines by which messages are published, each of which the tests of publishing run with."""

from __future__ import annotations

from typing import Any

import pytest

from rele.schema.settings import DEFAULTS

ENGINES = ("rele", "google")
"""The values of ``RELE["ENGINE"]``."""


def in_use() -> str:
    """The engine of every configuration that states none, in the test that runs now."""
    engine: str = DEFAULTS["ENGINE"]
    return engine


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked by ``both_engines`` or ``only_engine`` with these."""
    if only := metafunc.definition.get_closest_marker("only_engine"):
        marks = [pytest.mark.slow] if only.kwargs.get("slow") else []
        parameters = [pytest.param(only.args[0], marks=marks)]
        metafunc.parametrize("engine", parameters, indirect=True)
        return
    marker = metafunc.definition.get_closest_marker("both_engines")
    if marker is None:
        return
    slow: str | None = marker.kwargs.get("slow")
    parameters: list[Any] = [
        pytest.param(engine, marks=pytest.mark.slow) if engine == slow else engine
        for engine in ENGINES
    ]
    metafunc.parametrize("engine", parameters, indirect=True)
