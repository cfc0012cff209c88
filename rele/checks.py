"""The system checks, under the tag ``rele``: the problems of :mod:`rele.project.inspection`."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from rele.config import Config
from rele.endpoint import emulator_named
from rele.exceptions import ConfigurationError
from rele.management.discover import discover_subs_modules
from rele.project.inspection import find_subscriptions, problems_of_settings
from rele.schema.problems import Problem

TAG = "rele"


def check_project(
    app_configs: Sequence[AppConfig] | None = None,
    **kwargs: Any,
) -> list[checks.CheckMessage]:
    """Check the ``RELE`` settings and the subs of the installed apps."""
    return [as_message(problem) for problem in find_problems()]


def check_deployment(
    app_configs: Sequence[AppConfig] | None = None,
    **kwargs: Any,
) -> list[checks.CheckMessage]:
    """Check what only matters in production."""
    if not emulator_named():
        return []
    return [
        as_message(
            Problem(
                "rele.W006",
                "PUBSUB_EMULATOR_HOST is set: nothing reaches Google Cloud Pub/Sub.",
                "Unset it in the environment of the deployment.",
            )
        )
    ]


_NO_CONFIGURATION = ("rele.E001", "rele.E002", "rele.E003", "rele.E009")


def find_problems() -> list[Problem]:
    """Everything that is wrong with the project, errors and warnings."""
    setting = getattr(settings, "RELE", {})
    problems = problems_of_settings(setting)
    if any(problem.id in _NO_CONFIGURATION for problem in problems):
        return problems  # no configuration can be made to look further with
    try:
        config = Config(setting)
    except ConfigurationError as error:  # from the environment
        hint = "Correct DEFAULT_ACK_DEADLINE in the environment, or unset it."
        return [*problems, Problem("rele.E003", str(error), hint, "ACK_DEADLINE")]
    subscriptions, more = find_subscriptions(discover_subs_modules(), config)
    problems += more
    if subscriptions:
        problems += _problems_of_databases(config)
    return problems


def _problems_of_databases(config: Config) -> Iterator[Problem]:
    databases = {
        alias: database
        for alias, database in settings.DATABASES.items()
        if database.get("ENGINE") not in (None, "django.db.backends.dummy")
    }
    if databases and not any(map(_closes_connections, config.middleware)):
        yield Problem(
            "rele.W004",
            "A database is in use without DjangoDBMiddleware: the worker's threads would keep "
            "connections that the database has closed.",
            "Add 'rele.contrib.DjangoDBMiddleware' to RELE['MIDDLEWARE'].",
            "MIDDLEWARE",
        )
    for alias, database in databases.items():
        if database.get("CONN_MAX_AGE", 0) != 0:
            yield Problem(
                "rele.W005",
                f"The database {alias!r} has CONN_MAX_AGE = {database['CONN_MAX_AGE']!r}: each "
                "thread of the worker would keep a connection open.",
                "Set CONN_MAX_AGE to 0 for the worker.",
            )


def _closes_connections(path: str) -> bool:
    from rele.contrib import DjangoDBMiddleware

    try:
        middleware = pkgutil.resolve_name(path)
    except Exception:  # noqa: BLE001 - the project's own code, which is another check's matter
        return False
    return isinstance(middleware, type) and issubclass(middleware, DjangoDBMiddleware)


def as_message(problem: Problem) -> checks.CheckMessage:
    """The problem as Django's own kind of message."""
    kind = checks.Error if problem.is_error else checks.Warning
    return kind(problem.message, hint=problem.hint, id=problem.id)
