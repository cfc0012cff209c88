"""What is wrong with the databases of the inbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from rele.management.databases import problem_of_isolation, stated_isolation
from rele.schema.problems import Problem


def problems_of_inbox(setting: Mapping[str, Any]) -> Iterator[Problem]:
    """A handler may name any database by ``@idempotent(using=…)``."""
    for alias in settings.DATABASES:
        if problem := problem_of_isolation(alias, stated_isolation(alias, settings.DATABASES)):
            yield problem
