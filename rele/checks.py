"""The system checks, under the tag ``rele``, which render what is wrong with the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from rele.config import Config
from rele.management.databases import problems_of_databases
from rele.management.discover import discover_subs_modules
from rele.project.inspection import (
    can_be_configured,
    find_subscriptions,
    problems_of_deployment,
    problems_of_settings,
)
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
    return [as_message(problem) for problem in problems_of_deployment()]


def find_problems() -> list[Problem]:
    """Everything that is wrong with the project, errors and warnings."""
    setting = getattr(settings, "RELE", {})
    problems = problems_of_settings(setting)
    if not can_be_configured(problems):
        return problems
    config = Config(setting)
    subscriptions, more = find_subscriptions(discover_subs_modules(), config)
    problems += more
    if subscriptions:
        problems += problems_of_databases(settings.DATABASES, config.middleware)
    return problems


def as_message(problem: Problem) -> checks.CheckMessage:
    """The problem as Django's own kind of message."""
    kind = checks.Error if problem.is_error else checks.Warning
    return kind(problem.message, hint=problem.hint, id=problem.id)
