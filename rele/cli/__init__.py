"""The command line without Django, ``rele-cli``; most of it is ``manage.py rele``, too.

Each subcommand is a module here, declared once for every front door that has it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rele._version import __version__
from rele.cli.deadletters import DEADLETTERS
from rele.cli.emulator import EMULATOR
from rele.cli.extension_arguments import add_commands
from rele.cli.health import HEALTH
from rele.cli.parser import say_wrong_use_plainly
from rele.cli.project_here import load_project_here
from rele.cli.publish import PUBLISH
from rele.cli.run import RUN
from rele.cli.run_once import RUN_ONCE
from rele.cli.seek import SEEK
from rele.cli.tail import TAIL
from rele.exceptions import ReleError

#: Those that ``manage.py rele`` has, too.
SHARED_COMMANDS = (DEADLETTERS, EMULATOR, HEALTH, PUBLISH, RUN_ONCE, SEEK, TAIL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``rele-cli`` with ``arguments`` (by default the process's); return its exit status."""
    parser = argparse.ArgumentParser(
        prog="rele-cli",
        description="Publish and consume Google Cloud Pub/Sub messages. `rele-cli NAME --help` "
        "describes each command.",
    )
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    say_wrong_use_plainly(parser)
    parser.add_argument(
        "--version",
        action="version",
        version=f"rele {__version__}",
        help="print the version and exit",
    )
    parser.set_defaults(load_project=load_project_here)
    subparsers = parser.add_subparsers(dest="name", metavar="NAME")
    for command in (RUN, *SHARED_COMMANDS):
        command.add_to(subparsers)
    add_commands(subparsers)
    _complete_words(parser)
    options = vars(parser.parse_args(arguments))
    if options["name"] is None:
        parser.print_help()
        return 0
    try:
        status: int = options["run"](options)
    except ReleError as error:
        if options["traceback"]:
            raise
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return status


def _complete_words(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that completes a command line, and end; otherwise return.

    ``register-python-argcomplete`` of the extra ``completion`` sets a shell up to ask.
    """
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
