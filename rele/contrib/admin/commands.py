"""``manage.py rele pause``, ``resume`` and ``threads``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rele.cli.noting import operator
from rele.cli.output import printing, saying_after_a_second
from rele.cli.parser import number_from
from rele.cli.subcommand import Options
from rele.contrib.admin import controls
from rele.contrib.admin.actions import PAUSED, RESUMED, threads_set
from rele.contrib.admin.exceptions import PageError, explained_errors
from rele.contrib.admin.models import Subscription
from rele.management.project import load_django_project
from rele.schema.problems import did_you_mean

_MOST_THREADS = 10_000


def add_pause_arguments(parser: argparse.ArgumentParser) -> None:
    _add_names(parser, "subscriptions to pause")


def add_resume_arguments(parser: argparse.ArgumentParser) -> None:
    _add_names(parser, "subscriptions to resume")


def add_threads_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subscription", metavar="NAME", help="name of the subscription")
    parser.add_argument(
        "threads",
        type=_threads,
        metavar="N",
        help="how many messages at a time, at least 1, or `default` for what the code says",
    )


def pause(options: Options) -> int:
    return _decide(options["subscriptions"], controls.pause, "Workers pause {} within 5 s.", PAUSED)


def resume(options: Options) -> int:
    return _decide(
        options["subscriptions"], controls.resume, "Workers resume {} within 5 s.", RESUMED
    )


def set_threads(options: Options) -> int:
    threads = options["threads"]
    decide = partial(_set_threads, threads)
    count = "as many threads as the code says" if threads is None else f"{threads} thread(s)"
    outcome = f"Within 5 s each worker process handles {{}} with {count}."
    return _decide([options["subscription"]], decide, outcome, threads_set(threads))


def _set_threads(threads: int | None, name: str, by: str) -> Subscription:
    return controls.set_threads(name, threads, by)


def _add_names(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("subscriptions", nargs="+", metavar="NAME", help=f"names of the {what}")


def _threads(text: str) -> int | None:
    if text == "default":
        return None
    return int(number_from(1, int, "whole number", _MOST_THREADS)(text))


def _decide(
    names: Sequence[str], decide: Callable[[str, str], Any], outcome: str, noted: str
) -> int:
    _check(names)
    by = operator()
    with printing() as write:
        for name in dict.fromkeys(names):
            with saying_after_a_second("Waiting for the database ..."), explained_errors():
                controls.decide_and_note(partial(decide, name, by), name, by, noted)
            write(outcome.format(name))
    return 0


def _check(names: Sequence[str]) -> None:
    """Refuse a name that nobody has declared, before anything is changed."""
    known = {each.name for each in load_django_project().subscriptions}
    with explained_errors():
        # One that the code declares no more may still be consumed by workers of another version.
        known.update(Subscription.objects.values_list("name", flat=True))
    for name in names:
        if name not in known:
            raise PageError(
                f"This project has no subscription {name!r}. {did_you_mean(name, known)}"
            )
