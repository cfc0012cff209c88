"""Reading the command line, with one plain line for wrong use."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from rele.endpoint import LAST_PORT, host_and_port
from rele.exceptions import ConfigurationError

MAX_DAYS = 36_500
"""A century; much more is before the first date that a database knows."""

_IGNORED = re.compile(r"ignored explicit argument (.*)")


def say_wrong_use_plainly(parser: argparse.ArgumentParser) -> None:
    """Let ``parser`` say what is wrong in one line of plain English; ``--help`` has its usage."""
    in_its_words = parser.error

    def error(message: str) -> NoReturn:
        in_its_words(_IGNORED.sub(r"it takes no value, not \1", message))

    parser.print_usage = lambda file=None: None  # type: ignore[method-assign]
    parser.error = error  # type: ignore[method-assign]
    # Of options that are not ours, too: Django's -v.
    parser.register("type", int, whole_number)


def whole_number(text: str) -> int:
    """What reads an option that is a whole number, for argparse's ``type``."""
    return _read(text, int, "whole number")


Number = TypeVar("Number", int, float)


def number_from(
    least: float, kind: Callable[[str], Number], what: str, most: float = math.inf
) -> Callable[[str], Number]:
    """What reads an option that is a number from ``least`` to ``most``, for argparse's ``type``.

    Args:
        least: the smallest that is allowed.
        kind: ``int`` or ``float``.
        what: the number, as the error calls it.
        most: the largest that is allowed.
    """

    def read(text: str) -> Number:
        number = _read(text, kind, what)
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is too small: the least is {least}")
        if number > most:
            raise argparse.ArgumentTypeError(f"{text!r} is too large: the most is {most:g}")
        return number

    return read


def listening_address(text: str) -> tuple[str, int]:
    """What reads ``PORT`` or ``HOST:PORT``, for argparse's ``type``; no host: all interfaces."""
    try:
        return ("", int(text)) if _is_port(text) else host_and_port(text, "it")
    except ConfigurationError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a port nor HOST:PORT: write 8080 for all interfaces, or "
            "127.0.0.1:8080 for one"
        ) from None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= LAST_PORT


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:iB|i|B)?|B)?", re.IGNORECASE)


def size_in_bytes(text: str) -> int:
    """What reads an option that is a number of bytes, for argparse's ``type``: ``500M``, ``2G``."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size: write a number of bytes, or one with K, M or G, such as 500M"
        )
    number, unit = match.groups()
    size = int(float(number) * 1024 ** (" KMGT".index(unit.upper()) if unit else 0))
    if size == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is too small: the least is 1 byte")
    return size


def _read(text: str, kind: Callable[[str], Number], what: str) -> Number:
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
    return number
