"""What is wrong with ``RELE["OUTBOX"]``, and with how the outbox is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from rele.contrib.outbox.conf import OUTBOX_SETTINGS, OutboxSettings
from rele.contrib.outbox.room import BACKENDS
from rele.management.databases import problem_of_isolation, stated_isolation
from rele.project.inspection import problems_of_backend
from rele.schema.keys import problems_of_keys
from rele.schema.problems import Problem, about


def problems_of_outbox(setting: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems of the ``RELE`` dict that concern the outbox, and of its databases' settings."""
    outbox = setting.get("OUTBOX", {})
    problems = list(about("OUTBOX", _problems(outbox)))
    yield from problems
    if not any(problem.is_error for problem in problems):
        for alias in OutboxSettings.of(outbox).aliases:
            if problem := problem_of_isolation(alias, stated_isolation(alias, settings.DATABASES)):
                yield problem


def _unknown_databases(options: OutboxSettings) -> Iterator[Problem]:
    for alias in options.aliases if options.using else ():
        if alias not in settings.DATABASES:
            yield Problem(
                "rele.E010",
                f"RELE['OUTBOX']['USING'] names the database {alias!r}, which is not in DATABASES.",
                f"Write one of {', '.join(map(repr, sorted(settings.DATABASES)))}.",
            )


def _problems(outbox: Mapping[str, Any]) -> Iterator[Problem]:
    wrong = list(problems_of_keys(outbox, OUTBOX_SETTINGS, "RELE['OUTBOX']"))
    yield from wrong
    if any(problem.is_error for problem in wrong):
        return
    options = OutboxSettings.of(outbox)
    yield from _unknown_databases(options)
    if options.backend in BACKENDS:
        yield Problem(
            "rele.E011",
            "RELE['OUTBOX']['BACKEND'] is the outbox itself: the relay would never send anything.",
            "Leave it out: the relay then sends to Pub/Sub.",
        )
        return
    yield from problems_of_backend("RELE['OUTBOX']['BACKEND']", options.backend)
