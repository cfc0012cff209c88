"""The system checks, under the tag ``rele``, which render what is wrong with the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks

from rele.management.project import load_django_project
from rele.project.inspection import problems_of_deployment
from rele.schema.problems import Problem

TAG = "rele"


def check_project(
    app_configs: Sequence[AppConfig] | None = None,
    **kwargs: Any,
) -> list[checks.CheckMessage]:
    """Check the ``RELE`` settings and the subs of the installed apps."""
    return [as_message(problem) for problem in load_django_project().problems]


def check_deployment(
    app_configs: Sequence[AppConfig] | None = None,
    **kwargs: Any,
) -> list[checks.CheckMessage]:
    """Check what only matters in production."""
    return [as_message(problem) for problem in problems_of_deployment()]


def as_message(problem: Problem) -> checks.CheckMessage:
    """The problem as Django's own kind of message."""
    kind = checks.Error if problem.is_error else checks.Warning
    return kind(problem.message, hint=problem.hint, id=problem.id)
