"""The transactional outbox: what a transaction publishes is sent if, and only if, it commits.

Add ``"rele.contrib.outbox"`` to INSTALLED_APPS, set ``RELE["PUBLISHER_BACKEND"]`` to
``"rele.contrib.outbox.OutboxBackend"``, migrate, and run ``manage.py rele relay``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.contrib.outbox.backend import OutboxBackend as OutboxBackend


def __getattr__(name: str) -> Any:
    # A model cannot be imported while Django still loads the apps, of which this is one.
    if name == "OutboxBackend":
        return importlib.import_module("rele.contrib.outbox.backend").OutboxBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
