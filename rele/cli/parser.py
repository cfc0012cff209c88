"""Reading the command line, with one line for wrong use."""

from __future__ import annotations

import argparse


def say_wrong_use_in_one_line(parser: argparse.ArgumentParser) -> None:
    """Let ``parser`` say what is wrong without its usage before that; ``--help`` has it."""
    parser.print_usage = lambda file=None: None  # type: ignore[method-assign]
