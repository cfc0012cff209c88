"""The transactional outbox: what a transaction publishes is sent if, and only if, it commits.

Add ``"rele.contrib.outbox"`` to INSTALLED_APPS, set ``RELE["PUBLISHER_BACKEND"]`` to
``"rele.contrib.outbox.OutboxBackend"``, migrate, and run ``manage.py rele relay``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.contrib.outbox.backend import OutboxBackend as OutboxBackend
    from rele.contrib.outbox.routing import using as using

_MODULES = {"OutboxBackend": "backend", "using": "routing"}


def __getattr__(name: str) -> Any:
    # Django imports this package before models may be imported.
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
