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
