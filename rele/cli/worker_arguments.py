"""The options of a worker that are Relé's own, for every command that runs one."""

from __future__ import annotations

import argparse

from rele.cli.parser import listening_address, number_from, size_in_bytes

_MOST_PROCESSES = 1000


def add_own_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about processes and probes, and about what is consumed, and how."""
    _add_processes(parser)
    add_health_port(parser)
    _add_choices(parser)


def add_health_port(parser: argparse.ArgumentParser) -> None:
    """Add the option that :mod:`rele.project.probes` reads."""
    parser.add_argument(
        "--health-port",
        type=listening_address,
        metavar="[HOST:]PORT",
        help="answer probes at /livez and /readyz, scrapes at /metrics, and all that is known at "
        "/status, on this port of all interfaces, or of HOST alone (default: none)",
    )


def _add_processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes",
        type=number_of_processes,
        metavar="N",
        help="consume in N processes, which are started again where they end; auto: as many as "
        "there are cores (default: consume in this process)",
    )
    parser.add_argument(
        "--max-messages",
        type=number_from(1, int, "whole number"),
        metavar="N",
        help="end a process gracefully when it has handled N messages; with --processes another "
        "takes its place",
    )
    parser.add_argument(
        "--max-rss",
        type=size_in_bytes,
        metavar="SIZE",
        help="the same when it uses more memory than SIZE after a message, such as 500M or 2G",
    )


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="consume only the subscriptions whose name matches PATTERN, such as 'order-*'; it may "
        "be given several times",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="do not consume the subscriptions whose name matches PATTERN; it may be given several "
        "times",
    )
    parser.add_argument(
        "--threads",
        type=number_from(1, int, "whole number"),
        metavar="N",
        help="handle N messages of each subscription at a time, whatever RELE and the "
        "declarations say",
    )


def number_of_processes(text: str) -> int:
    """What reads ``--processes``, for argparse's ``type``."""
    if text == "auto":
        from rele.runtime.cores import usable_cores

        return usable_cores()
    try:
        return number_from(1, int, "whole number", _MOST_PROCESSES)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; auto is as many as there are cores") from None
