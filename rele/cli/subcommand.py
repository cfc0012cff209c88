"""What a subcommand is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rele.cli.parser import say_wrong_use_plainly

Options = Mapping[str, Any]

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C has ended, as a shell has it."""


@dataclass(frozen=True)
class Subcommand:
    """One subcommand, for every front door that has it."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Options], int]
    """Gets the parsed options and returns the exit status; raises a ReleError for the user."""

    def add_to(self, subparsers: Any) -> None:
        """Make a parser for it, whose option ``run`` is the function."""
        parser = subparsers.add_parser(self.name, help=self.help, description=self.help)
        say_wrong_use_plainly(parser)
        self.add_arguments(parser)
        parser.add_argument(
            "--traceback",
            action="store_true",
            default=argparse.SUPPRESS,  # it may have been given before NAME
            help="show the traceback of an error",
        )
        parser.set_defaults(run=self._run)

    def _run(self, options: Options) -> int:
        """Run it; Ctrl-C ends it without a traceback, wherever that comes."""
        try:
            return self.run(options)
        except KeyboardInterrupt:
            return INTERRUPTED
