"""``run``: the worker, without Django."""

from __future__ import annotations

import argparse
import importlib
import logging
from pathlib import Path
from typing import Any

from rele import config as configuration
from rele import discover
from rele.cli.extension_arguments import add_worker_arguments
from rele.cli.log import add_log_format, add_verbosity, log_to_stderr, say_json
from rele.cli.output import tolerant_output
from rele.cli.subcommand import Options, Subcommand
from rele.cli.worker_arguments import add_own_worker_arguments
from rele.exceptions import ConfigurationError, import_failure
from rele.project.loading import load_settings
from rele.project.startup import is_supervisor, run_worker, say, warn
from rele.runtime.worker_process import this_worker_process


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
    add_log_format(parser)
    add_own_worker_arguments(parser)
    add_worker_arguments(parser)


def run(options: Options) -> int:
    with tolerant_output():
        return _consume(options)


def _consume(options: Options) -> int:
    setting, module_paths = _discover(options["settings"])
    as_json = options["log_format"] == "json"
    log_to_stderr(options["verbosity"], of_project=True, as_json=as_json)
    write = say_json if as_json else say
    # google.auth also warns of missing credentials, less clearly than Relé's own error.
    logging.getLogger("google.auth._default").setLevel(logging.ERROR)
    project = load_settings(setting)
    # Before the modules are imported, because they may publish.
    config = project.require_config()
    if is_supervisor(options):
        configuration.init_global_publisher(config)  # the hooks are the workers'
    else:
        configuration.use(config)
    third_party = map(_imported, options["third_party_subscriptions"])
    project = project.with_subscriptions([*module_paths, *third_party])
    project.require_config()
    if this_worker_process() is None:
        warn(project.problems, write)
    from rele.worker import create_and_run  # this late, since it loads Google's client

    looked_in = f"subs.py and subs/ below {Path.cwd()}"
    run_worker(project, options, looked_in, create_and_run, write)
    return 0


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
