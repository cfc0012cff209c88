"""Reading the command line, with one line for wrong use."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar


def say_wrong_use_in_one_line(parser: argparse.ArgumentParser) -> None:
    """Let ``parser`` say what is wrong without its usage before that; ``--help`` has it."""
    parser.print_usage = lambda file=None: None  # type: ignore[method-assign]


Number = TypeVar("Number", int, float)


def number_from(least: int, kind: Callable[[str], Number], what: str) -> Callable[[str], Number]:
    """What reads an option that is a number from ``least``, for argparse's ``type``.

    Args:
        least: the smallest that is allowed.
        kind: ``int`` or ``float``.
        what: the number, as argparse's error calls it.
    """

    def read(text: str) -> Number:
        number = kind(text)
        if not number >= least:  # as not-a-number is not
            raise ValueError(text)
        return number

    read.__name__ = f"{what} from {least}"
    return read
