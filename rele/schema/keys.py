"""What is wrong with the keys of a dict of settings, and with their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rele.schema.problems import Problem, about, did_you_mean
from rele.schema.settings import BATCHING, SETTINGS, Setting


def problems_of_keys(
    values: Mapping[str, Any], known: Mapping[str, Setting], of: str
) -> Iterator[Problem]:
    """Which keys of the dict ``of`` nobody knows, and which values are not what they may be.

    Each problem's setting is the key; where the dict is not ``RELE`` itself, :func:`about` corrects
    that.
    """
    for name, value in values.items():
        if name not in known:
            yield _unknown(name, known, of)
        elif problem := known[name].problem(name, value, of=of):
            yield replace(problem, setting=name)
        elif known[name].keys:
            yield from about(name, problems_of_keys(value, known[name].keys, f"{of}[{name!r}]"))


def problems_of_waits(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Whether messages would be reported as failed before their request is sent at all."""
    wait = settings.get("PUBLISHER_BATCHING", {}).get("max_wait", BATCHING["max_wait"].default)
    retry_for = settings.get("PUBLISHER_RETRY_FOR", SETTINGS["PUBLISHER_RETRY_FOR"].default)
    if wait >= retry_for:
        yield Problem(
            "rele.E003",
            f"RELE['PUBLISHER_RETRY_FOR'] = {retry_for!r} must be more than the {wait!r} seconds "
            "of RELE['PUBLISHER_BATCHING']['max_wait']: a message would be reported as failed "
            "before it is sent.",
            "Write 'PUBLISHER_RETRY_FOR': 600.0.",
            "PUBLISHER_RETRY_FOR",
        )


def _unknown(name: Any, known: Iterable[str], of: str) -> Problem:
    return Problem(
        "rele.W001",
        f"{of} has the unknown setting {name!r}.",
        f"{did_you_mean(str(name), known)} Else remove it.",
        str(name),
    )
