"""``run``: the worker, without Django."""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rele import config as configuration
from rele import discover
from rele.cli.log import add_verbosity, log_to_stderr
from rele.cli.output import tolerant_output
from rele.cli.room_arguments import add_worker_arguments
from rele.cli.subcommand import Options, Subcommand
from rele.exceptions import ConfigurationError, import_failure
from rele.project.inspection import find_subscriptions, problems_of_settings
from rele.project.rooms import beside_worker
from rele.project.startup import PULLING, announce, raise_for_a_worker, say_project, warn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-s",
        "--settings",
        metavar="PATH",
        help="the dotted path of the settings module (default: settings, in this folder)",
    )
    parser.add_argument(
        "--third-party-subscriptions",
        metavar="MODULE",
        nargs="+",
        default=[],
        help="the dotted paths of further modules that declare subscriptions",
    )
    add_verbosity(parser)
    add_worker_arguments(parser)


def run(options: Options) -> int:
    with tolerant_output():
        return _consume(options)


def _consume(options: Options) -> int:
    from rele.worker import create_and_run

    setting, module_paths = _discover(options["settings"])
    log_to_stderr(options["verbosity"], of_project=True)
    # It warns of missing credentials, which the error then says better.
    logging.getLogger("google.auth._default").setLevel(logging.ERROR)
    problems = problems_of_settings(setting)
    raise_for_a_worker(problems)
    config = configuration.setup(setting)
    subs, more = find_subscriptions(
        [*module_paths, *map(_imported, options["third_party_subscriptions"])], config
    )
    raise_for_a_worker(more)
    warn([*problems, *more])
    announce(subs, f"subs.py and subs/ below {Path.cwd()}", print)
    say_project(config)
    with beside_worker(config, options) as begin:
        create_and_run(subs, config, on_start=lambda: _has_started(begin))
    return 0


def _has_started(begin: Callable[[], None]) -> None:
    begin()
    print(PULLING, flush=True)


def _discover(settings_path: str | None) -> tuple[Any, list[str]]:
    """The ``RELE`` setting and the dotted paths of the subs modules."""
    try:
        settings, module_paths = discover.sub_modules(settings_path)
    except Exception as error:
        failure = import_failure(f"The settings module {settings_path or 'settings'!r}", error)
        raise ConfigurationError(f"{failure} Fix it, or name another with --settings.") from error
    if settings is None and discover.has_manage_py():
        raise ConfigurationError(
            "This is a Django project, whose settings rele-cli does not read: use `python "
            "manage.py runrele`, or name the settings module with --settings."
        )
    if settings is None:
        raise ConfigurationError(
            f"There is no settings.py in {Path.cwd()}: make one with a dict named RELE, or name "
            "the settings module with --settings."
        )
    if not hasattr(settings, "RELE"):
        raise ConfigurationError(
            f"The settings module {settings.__name__!r} has no dict named RELE: write "
            "RELE = {'GC_PROJECT_ID': 'my-project'}."
        )
    return settings.RELE, module_paths


def _imported(path: str) -> str:
    try:
        importlib.import_module(path)
    except Exception as error:
        failure = import_failure(f"--third-party-subscriptions names {path!r}, which", error)
        raise ConfigurationError(
            f"{failure} Correct the name, or install the package that has it."
        ) from error
    return path


RUN = Subcommand(
    "run",
    "Consume the subscriptions that subs.py and subs/ below this folder declare.",
    add_arguments,
    run,
)
