"""What is recorded of messages that no server sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import rele
from tests.support.telemetry import MIDDLEWARE, Recorded


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """What the process records."""
    return Recorded(monkeypatch)


@pytest.fixture
def trace_messages(recorded: Recorded) -> Callable[..., None]:
    """Set Relé up with the middleware, and the settings that the test gives."""

    def set_up(**settings: object) -> None:
        rele.setup({"GC_PROJECT_ID": "shop", "MIDDLEWARE": [MIDDLEWARE], **settings})

    return set_up
