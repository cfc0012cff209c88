"""What is wrong with the outbox's databases, or could be better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db import Error as AnyDatabaseError
from django.db import connections

from rele.checks import as_message
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.models import OutboxMessage
from rele.management.databases import problem_of_isolation, stated_isolation
from rele.management.project import load_django_project
from rele.project.loading import Project
from rele.schema.problems import Problem

_DEFAULT_POOL = 4
"""Connections of a pool of psycopg where no number is stated."""

_ISOLATION_LEVELS = ("SELECT @@transaction_isolation", "SELECT @@tx_isolation")
"""As MySQL and MariaDB from 11.1 on call it, and MariaDB before."""


def check_pools(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Check that a pool has connections for a worker's handlers and the relay beside them."""
    project = load_django_project()
    return [as_message(problem) for problem in _problems_of_pools(project)]


def check_databases(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[checks.CheckMessage]:
    """Ask the database servers, where Django was asked to: ``check --database``, ``migrate``."""
    project = load_django_project()
    problems = (
        problem
        for alias in _aliases_of(project)
        if alias in (databases or ())
        for problem in _problems_of_server(alias, project)
    )
    return [as_message(problem) for problem in problems]


def _aliases_of(project: Project) -> Iterator[str]:
    """Those of the outbox that there are, if the project publishes into it."""
    if project.config is not None:
        aliases = OutboxSettings.in_config(project.config).aliases
        yield from (alias for alias in aliases if alias in settings.DATABASES)


def _problems_of_pools(project: Project) -> Iterator[Problem]:
    for alias in _aliases_of(project):
        pool = settings.DATABASES[alias].get("OPTIONS", {}).get("pool")
        if not pool or project.config is None or not project.subscriptions:
            continue
        options = pool if isinstance(pool, dict) else {}
        size = options.get("max_size") or options.get("min_size", _DEFAULT_POOL)
        from rele.consuming.worker_plan import count_handler_threads  # it loads Google's client

        threads = count_handler_threads(project.config, project.subscriptions)
        if size < threads + 1:
            yield Problem(
                "rele.W012",
                f"The pool of the database {alias!r} has at most {size} connections. A worker's "
                f"handlers may use {threads}, one for each thread, and the relay of `runrele "
                "--relay` uses one more.",
                f"Set OPTIONS['pool']['max_size'] to {threads + 1} or more.",
            )


def _problems_of_server(alias: str, project: Project) -> Iterator[Problem]:
    vendor = connections[alias].vendor
    try:
        # What DATABASES states is checked in any case.
        if vendor == "mysql" and stated_isolation(alias, settings.DATABASES) is None:
            if problem := problem_of_isolation(alias, _isolation_of(alias)):
                yield problem
        elif vendor == "postgresql" and _has_ordering_keys(alias, project):
            yield from _problems_of_order(alias)
    except AnyDatabaseError:
        return  # Django's own checks, and the tables' first use, say what is wrong


def _isolation_of(alias: str) -> object:
    *others, last = _ISOLATION_LEVELS
    for query in others:
        try:
            return _ask(alias, query)
        except AnyDatabaseError:
            continue
    return _ask(alias, last)


def _has_ordering_keys(alias: str, project: Project) -> bool:
    if any(each.options.enable_message_ordering for each in project.subscriptions):
        return True
    return OutboxMessage.objects.using(alias).filter(lane__isnull=False).exists()


def _problems_of_order(alias: str) -> Iterator[Problem]:
    if _ask(alias, "SHOW track_commit_timestamp") == "off":
        yield Problem(
            "rele.W013",
            f"Messages have ordering keys, and the PostgreSQL of the database {alias!r} does not "
            "record when transactions are committed: of two transactions that publish with the "
            "same key at the same time, the one that was committed last may be sent first.",
            "Set track_commit_timestamp = on in postgresql.conf, and restart the server.",
        )


def _ask(alias: str, query: str) -> object:
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        answer: object = cursor.fetchone()[0]
        return answer
