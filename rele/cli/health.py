"""``health``: ask a worker how it is, for a container's HEALTHCHECK and for people."""

from __future__ import annotations

import argparse
from http.client import HTTPConnection, HTTPException

from rele.cli.output import printing
from rele.cli.parser import listening_address, number_from
from rele.cli.subcommand import Options, Subcommand
from rele.endpoint import joined
from rele.exceptions import ReleError

_DEFAULT = "8080"

_OK = 200
_RED = 503
"""What a probe answers, by HTTP's status."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--health-port",
        type=listening_address,
        default=_DEFAULT,
        metavar="[HOST:]PORT",
        help="where the worker answers, as it was given to the worker (default: %(default)s)",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask only whether a restart is needed, and not whether messages are handled now",
    )
    parser.add_argument(
        "--timeout",
        type=number_from(1, float, "number of seconds", 600),
        default=5.0,
        metavar="SECONDS",
        help="how long to wait for the answer (default: %(default)g)",
    )


def run(options: Options) -> int:
    host, port = options["health_port"]
    path = "/livez" if options["live"] else "/readyz"
    status, text = _ask(host or "localhost", port, path, options["timeout"])
    if status not in (_OK, _RED):
        raise ReleError(
            f"What answers at {joined(host or 'localhost', port)} is no worker of Relé: its "
            f"status is {status} for {path}."
        )
    with printing() as show:
        show(text.rstrip("\n"))
    return 0 if status == _OK else 1


def _ask(host: str, port: int, path: str, timeout: float) -> tuple[int, str]:
    connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except TimeoutError as error:
        raise ReleError(
            f"The worker at {joined(host, port)} does not answer within {timeout:g} s: a handler "
            "holds the interpreter, or the process is suspended. Restart it."
        ) from error
    except (OSError, HTTPException) as error:
        raise ReleError(
            f"No worker answers at http://{joined(host, port)}: {error}. Start it with "
            f"--health-port {port}, or name its address with --health-port."
        ) from error
    finally:
        connection.close()


HEALTH = Subcommand(
    "health",
    "Ask the worker on this machine whether it is ready; exit with status 1 if it is not.",
    add_arguments,
    run,
)
