"""What is recorded of messages on a running server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rele.subscription import Subscription
from tests.support.telemetry import MIDDLEWARE, Recorded


@pytest.fixture
def pubsub(embedded_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The embedded server alone: what is recorded does not depend on the server."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    return embedded_server


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """What the process records."""
    return Recorded(monkeypatch)


@pytest.fixture
def run_traced(
    recorded: Recorded, run_worker: Callable[..., Any]
) -> Callable[[Sequence[Subscription]], Any]:
    """Start a worker with the middleware."""
    return lambda subscriptions, **settings: run_worker(
        subscriptions, MIDDLEWARE=[MIDDLEWARE], **settings
    )
