"""The command line without Django: ``rele-cli``, or ``python -m rele``."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rele import config as configuration
from rele import discover
from rele.exceptions import ConfigurationError, ReleError

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Subcommand:
    """One subcommand, declared once for every front door that has it."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Options], int]
    """Gets the parsed options and returns the exit status."""

    def add_to(self, subparsers: Any) -> None:
        """Make a parser for it, whose option ``run`` is the function."""
        parser = subparsers.add_parser(self.name, help=self.help, description=self.help)
        self.add_arguments(parser)
        parser.set_defaults(run=self.run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``rele-cli`` with ``arguments`` (by default the process's); return its exit status."""
    parser = argparse.ArgumentParser(prog="rele-cli", description="Pub/Sub without ceremony.")
    subparsers = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for command in (RUN, *SHARED_COMMANDS):
        command.add_to(subparsers)
    options = vars(parser.parse_args(arguments))
    try:
        run: Callable[[Options], int] = options["run"]
        return run(options)
    except ReleError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-s",
        "--settings",
        metavar="PATH",
        help="dotted path of the settings module (default: settings, in this folder)",
    )
    parser.add_argument(
        "--third-party-subscriptions",
        metavar="MODULE",
        nargs="+",
        default=[],
        help="dotted paths of further modules that declare subscriptions",
    )


def _run(options: Options) -> int:
    from rele.worker import create_and_run

    settings, module_paths = discover.sub_modules(options["settings"])
    if settings is None or not hasattr(settings, "RELE"):
        raise ConfigurationError(
            "There is no settings.py with a dict named RELE in this folder: make one, or name "
            "the settings module with --settings."
        )
    # Does nothing where the settings have set logging up.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    config = configuration.setup(settings.RELE)
    for path in options["third_party_subscriptions"]:
        _check_that_it_imports(path)
    subs = configuration.load_subscriptions_from_paths(
        [*module_paths, *options["third_party_subscriptions"]],
        config.sub_prefix,
        config.filter_by,
    )
    if not subs:
        raise ConfigurationError(
            f"There is no subscription to consume: no subs.py below {Path.cwd()} declares one "
            "with @sub."
        )
    print(f"Configuring worker with {len(subs)} subscription(s)...")
    for sub in subs:
        print(f"  {sub}")
    create_and_run(subs, config, on_start=_say_that_it_pulls)
    return 0


def _check_that_it_imports(path: str) -> None:
    try:
        importlib.import_module(path)
    except ImportError as error:
        raise ConfigurationError(
            f"--third-party-subscriptions names {path!r}, which cannot be imported: {error}"
        ) from error


def _say_that_it_pulls() -> None:
    print("Pulling messages. Press Ctrl-C to stop.", flush=True)


RUN = Subcommand(
    "run",
    "Consume the subscriptions of the subs modules in this folder.",
    _add_run_arguments,
    _run,
)


def _add_emulator_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host-port",
        metavar="HOST:PORT",
        default="127.0.0.1:8085",
        help="the address to listen on (default: %(default)s; port 0: a free one)",
    )


def _run_emulator(options: Options) -> int:
    from rele import emulator

    host, _, port = options["host_port"].rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(
            f"--host-port needs HOST:PORT, such as 127.0.0.1:8085, not {options['host_port']!r}."
        )
    try:
        status: int = emulator.serve(host, int(port), on_started=_say_where_it_listens)
    except emulator.BindError as error:
        raise ReleError(str(error)) from error
    return status


def _say_where_it_listens(address: str) -> None:
    print(f"Pub/Sub is listening on {address}: export PUBSUB_EMULATOR_HOST={address}", flush=True)


#: Those that ``manage.py rele`` has too.
SHARED_COMMANDS = (
    Subcommand(
        "emulator",
        "Run a Pub/Sub server on this machine, without Google.",
        _add_emulator_arguments,
        _run_emulator,
    ),
)
