"""Loading the project of Django's settings and installed apps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings

from rele.management.databases import problems_of_databases
from rele.management.discover import discover_subs_modules
from rele.project.loading import Project, load_project

_loaded: ContextVar[Project | None] = ContextVar("rele_project", default=None)


def load_django_project(
    find_modules: Callable[[], Iterable[str]] = discover_subs_modules,
) -> Project:
    """The project, or the one that was :func:`loaded_once`.

    Args:
        find_modules: names the subs modules; by default those of the installed apps.
    """
    if loaded := _loaded.get():
        return loaded
    project = load_project(getattr(settings, "RELE", {}), find_modules)
    if project.config is None or not project.subscriptions:
        return project
    return project.with_problems(
        problems_of_databases(settings.DATABASES, project.config.middleware)
    )


@contextmanager
def loaded_once() -> Iterator[Project]:
    """Load the project; within the block, the system checks look at the same."""
    project = load_django_project()
    token = _loaded.set(project)
    try:
        yield project
    finally:
        _loaded.reset(token)
