"""The middlewares that come with Relé, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.contrib.django_db_middleware import DjangoDBMiddleware as DjangoDBMiddleware
    from rele.contrib.logging_middleware import LoggingMiddleware as LoggingMiddleware

_MODULE_OF = {
    "DjangoDBMiddleware": "rele.contrib.django_db_middleware",
    "LoggingMiddleware": "rele.contrib.logging_middleware",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'rele.contrib' has no attribute {name!r}")
