"""The middlewares that come with Relé, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.contrib.django_db_middleware import DjangoDBMiddleware as DjangoDBMiddleware
    from rele.contrib.flask_middleware import FlaskMiddleware as FlaskMiddleware
    from rele.contrib.logging_middleware import LoggingMiddleware as LoggingMiddleware
    from rele.contrib.opentelemetry.middleware import (
        OpenTelemetryMiddleware as OpenTelemetryMiddleware,
    )
    from rele.contrib.prometheus.middleware import PrometheusMiddleware as PrometheusMiddleware
    from rele.contrib.unrecoverable_middleware import (
        UnrecoverableException as UnrecoverableException,
    )
    from rele.contrib.unrecoverable_middleware import (
        UnrecoverableMiddleWare as UnrecoverableMiddleWare,
    )
    from rele.contrib.verbose_logging_middleware import (
        VerboseLoggingMiddleware as VerboseLoggingMiddleware,
    )

_MODULE_OF = {
    "DjangoDBMiddleware": "rele.contrib.django_db_middleware",
    "FlaskMiddleware": "rele.contrib.flask_middleware",
    "LoggingMiddleware": "rele.contrib.logging_middleware",
    "OpenTelemetryMiddleware": "rele.contrib.opentelemetry.middleware",
    "PrometheusMiddleware": "rele.contrib.prometheus.middleware",
    "UnrecoverableException": "rele.contrib.unrecoverable_middleware",
    "UnrecoverableMiddleWare": "rele.contrib.unrecoverable_middleware",
    "VerboseLoggingMiddleware": "rele.contrib.verbose_logging_middleware",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'rele.contrib' has no attribute {name!r}")
