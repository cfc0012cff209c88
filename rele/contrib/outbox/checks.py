"""What is wrong with ``RELE["OUTBOX"]``, and with how the outbox is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core import checks

from rele.checks import as_message
from rele.config import OUTBOX
from rele.contrib.outbox.conf import OUTBOX_SETTINGS, OutboxSettings
from rele.project.inspection import problems_of_backend, problems_of_keys
from rele.schema.problems import Problem, about


def check_outbox(**kwargs: Any) -> list[checks.CheckMessage]:
    """The problems of the outbox as Django's messages."""
    return [as_message(problem) for problem in about("OUTBOX", _problems())]


def _unknown_databases(options: OutboxSettings) -> Iterator[Problem]:
    for alias in options.aliases if options.using else ():
        if alias not in settings.DATABASES:
            yield Problem(
                "rele.E010",
                f"RELE['OUTBOX']['USING'] names the database {alias!r}, which is not in DATABASES.",
                f"Write one of {', '.join(map(repr, sorted(settings.DATABASES)))}.",
            )


def _problems() -> Iterator[Problem]:
    setting = getattr(settings, "RELE", {})
    outbox = setting.get("OUTBOX", {}) if isinstance(setting, Mapping) else {}
    if not isinstance(outbox, Mapping):
        return  # the check of all settings says so
    wrong = list(problems_of_keys(outbox, OUTBOX_SETTINGS, "RELE['OUTBOX']"))
    yield from wrong
    if any(problem.is_error for problem in wrong):
        return
    options = OutboxSettings.of(outbox)
    yield from _unknown_databases(options)
    if options.backend.startswith(f"{OUTBOX}."):
        yield Problem(
            "rele.E011",
            "RELE['OUTBOX']['BACKEND'] is the outbox itself: its relay would never send anything.",
            "Leave it out: the relay then sends to Pub/Sub.",
        )
        return
    yield from problems_of_backend("RELE['OUTBOX']['BACKEND']", options.backend)
