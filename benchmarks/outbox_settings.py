"""The test project's settings with an outbox on PostgreSQL, as in production: no DEBUG, no INFO."""

from __future__ import annotations

from testproject.settings import *  # noqa: F403 - so that the rest stays as it is there
from testproject.settings import LOGGING, env

DEBUG = False

RELE = {
    "GC_PROJECT_ID": "benchmark",
    "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
    "MIDDLEWARE": ["rele.contrib.LoggingMiddleware", "rele.contrib.DjangoDBMiddleware"],
    "OUTBOX": {"KEEP_SENT": env.bool("KEEP_SENT", default=False)},
}

LOGGING["loggers"] = {"rele": {"handlers": ["console"], "level": "WARNING"}}
