"""``emulator``: a Pub/Sub server on this machine."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rele.cli.emulator_status import lines_of
from rele.cli.output import printing, saying_after_a_second, tolerant_output
from rele.cli.style import style_of, terminal_width
from rele.cli.subcommand import Options, Subcommand
from rele.endpoint import EMULATOR_VARIABLE, emulator_named, host_and_port, joined
from rele.exceptions import ReleError

_DEFAULT = "127.0.0.1:8085"

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Where a server that listens on every address is found on this machine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host-port",
        metavar="HOST:PORT",
        help=f"the address to listen on (default: {_DEFAULT}; port 0 takes a free port); with "
        f"--status, the address of the server (default: PUBSUB_EMULATOR_HOST, else {_DEFAULT})",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="the least level that is logged: info has the requests that are refused, debug every "
        "request (default: %(default)s)",
    )
    parser.add_argument(
        "--status", action="store_true", help="print what a running server has, and exit"
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="with --status: table, for people (the default), or json",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="keep topics, subscriptions and messages in this directory (default: in memory)",
    )


def run(options: Options) -> int:
    if options["status"]:
        return _show_status(options)
    with tolerant_output():
        return _serve(options)


def _serve(options: Options) -> int:
    host, port = host_and_port(options["host_port"] or _DEFAULT, "--host-port")
    _log(options["log_level"])

    with ExitStack() as starting:
        starting.enter_context(saying_after_a_second("Starting the Pub/Sub server ..."))

        def on_started(address: str) -> None:
            starting.close()
            _say_where_it_listens(address, options["data_dir"])

        return _run_server(host, port, on_started, options["data_dir"])


def _run_server(
    host: str, port: int, on_started: Callable[[str], None], data_dir: Path | None
) -> int:
    from rele import emulator

    try:
        status: int = emulator.serve(
            host, port, on_started=on_started, data_dir=data_dir, on_progress=_say_progress
        )
    except emulator.EmulatorError as error:
        raise ReleError(str(error)) from error
    return status


def _show_status(options: Options) -> int:
    from rele import emulator

    named, source = options["host_port"], "--host-port"
    if named is None and (named := emulator_named()):
        source = EMULATOR_VARIABLE
    address = joined(*host_and_port(named or _DEFAULT, source))
    try:
        with saying_after_a_second(f"Waiting for the Pub/Sub server at {address} ..."):
            report = emulator.ask_status(address)
    except emulator.StatusError as error:
        raise ReleError(str(error)) from error
    style = style_of(
        sys.stdout,  # Django's commands alone have these options
        is_forced=options.get("force_color", False),
        is_refused=options.get("no_color", False),
    )
    with printing() as show:
        if options["format"] == "json":
            show(json.dumps(report, indent=2))
        else:
            for line in lines_of(report, terminal_width(), style):
                show(line)
    return 0


def _log(level: str) -> None:
    # Does nothing where Django's settings have set logging up.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("rele.emulator").setLevel(level.upper())


def _say_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say(line: str) -> None:
    print(line, flush=True)


def _say_where_it_listens(address: str, data_dir: Path | None) -> None:
    if data_dir is not None:
        _say(f"Topics, subscriptions and messages are kept in {data_dir}.")
    host, _, port = address.rpartition(":")
    reached = f"{_WILDCARDS.get(host, host)}:{port}"
    print(f"Pub/Sub is listening on {address}. Point clients at it with:")
    print(f"export PUBSUB_EMULATOR_HOST={reached}", flush=True)
    if not _is_loopback(host.strip("[]")):
        print(
            f"Warning: {address} may be reached from other machines, and nothing is "
            "authenticated: whoever reaches it reads, publishes and deletes what they like.",
            file=sys.stderr,
            flush=True,
        )


def _is_loopback(host: str) -> bool:
    import ipaddress
    import socket

    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


EMULATOR = Subcommand(
    "emulator", "Run a Pub/Sub server on this machine, without Google.", add_arguments, run
)
