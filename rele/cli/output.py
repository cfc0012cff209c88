"""Printing what a command was run for: where that fails, the command has failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rele.exceptions import ReleError


class OutputError(ReleError):
    """The result of a command could not be printed."""


@contextmanager
def printing(stream: Any = None) -> Iterator[Callable[[str], None]]:
    """Give a function that prints one line of the result.

    A line that cannot be printed stops nothing that the block does; the error comes at its end.

    Args:
        stream: a text stream; by default the standard output.

    Raises:
        OutputError: not all could be printed.
    """
    to = sys.stdout if stream is None else stream
    errors: list[Exception] = []

    def attempt(write: Callable[[], object]) -> None:
        if errors:
            return
        try:
            write()
        except (OSError, UnicodeError) as error:
            errors.append(error)
            _silence(to)

    try:
        yield lambda line: attempt(lambda: to.write(f"{line}\n"))
    finally:
        attempt(to.flush)
    for error in errors:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"The output could not be written: {reason}.") from error


def _silence(stream: Any) -> None:
    """Let nothing more come of it: at its end Python would try again to write what is buffered."""
    with suppress(OSError, ValueError, AttributeError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(devnull, stream.fileno())
        finally:
            os.close(devnull)
