"""What a subcommand is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Options = Mapping[str, Any]


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
        self.add_arguments(parser)
        parser.set_defaults(run=self.run)
