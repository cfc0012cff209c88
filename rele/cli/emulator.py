"""``emulator``: a Pub/Sub server on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from rele.cli.subcommand import Options, Subcommand
from rele.exceptions import ConfigurationError, ReleError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host-port",
        metavar="HOST:PORT",
        default="127.0.0.1:8085",
        help="the address to listen on (default: %(default)s; port 0: a free one)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="keep topics, subscriptions and messages in this directory (default: in memory)",
    )


def run(options: Options) -> int:
    from rele import emulator

    host, _, port = options["host_port"].rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()):
        raise ConfigurationError(
            f"--host-port needs HOST:PORT, such as 127.0.0.1:8085, not {options['host_port']!r}."
        )
    try:
        status: int = emulator.serve(
            host,
            int(port),
            on_started=lambda address: _say_where_it_listens(address, options["data_dir"]),
            data_dir=options["data_dir"],
            on_progress=_say,
        )
    except emulator.EmulatorError as error:
        raise ReleError(str(error)) from error
    return status


def _say_where_it_listens(address: str, data_dir: Path | None) -> None:
    if data_dir is not None:
        _say(f"Topics, subscriptions and messages are kept in {data_dir}.")
    _say(f"Pub/Sub is listening on {address}: export PUBSUB_EMULATOR_HOST={address}")


def _say(line: str) -> None:
    print(line, flush=True)


EMULATOR = Subcommand(
    "emulator", "Run a Pub/Sub server on this machine, without Google.", add_arguments, run
)
