"""The pytest plugin: fixtures for projects that use Relé.

Loaded in every pytest run of an environment that has Relé, so it imports nothing before a
fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rele.backends import Message


@pytest.fixture
def rele_messages() -> Iterator[list[Message]]:
    """What the test publishes, in order, as :class:`rele.backends.Message`; nothing is sent."""
    from rele import publishing
    from rele.backends import locmem

    locmem.messages.clear()
    with publishing.sent_through(locmem.LocMemBackend()):
        yield locmem.messages
    locmem.messages.clear()


@pytest.fixture
def pubsub_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The ``HOST:PORT`` of a Pub/Sub server of the test's own, empty, in this process.

    ``PUBSUB_EMULATOR_HOST`` leads to it until the test ends, for Relé and for Google's clients.
    """
    from rele import publishing
    from rele.emulator import EmbeddedServer
    from rele.endpoint import EMULATOR_VARIABLE

    # The publisher of an earlier test is connected to another server.
    publishing.forget_publisher()
    with EmbeddedServer() as server:
        monkeypatch.setenv(EMULATOR_VARIABLE, server.address)
        yield server.address
        publishing.forget_publisher()
