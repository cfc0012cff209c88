"""Showing something again and again, until Ctrl-C."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from rele.cli.output import printing
from rele.cli.stop_signals import raised
from rele.cli.style import is_terminal

INTERVAL = 2.0
"""Seconds between two frames."""

_HOME, _CLEAR_LINE, _CLEAR_REST = "\033[H", "\033[K", "\033[J"


def watch(frame: Callable[[], Iterable[str]], stream: Any, wait: Callable[[float], object]) -> None:
    """Write the lines of ``frame()`` to ``stream`` again and again, until Ctrl-C or SIGTERM.

    On a terminal each frame replaces the last; elsewhere they follow each other.

    Args:
        frame: gives the lines.
        stream: a text stream.
        wait: is given the seconds until the next frame.

    Raises:
        OutputError, SystemExit: they cannot be written.
    """
    write_frame = _redraw if is_terminal(stream) else _append
    with suppress(KeyboardInterrupt), raised():
        while True:
            write_frame(list(frame()), stream)
            wait(INTERVAL)


def _append(lines: list[str], stream: Any) -> None:
    with printing(stream) as write:
        for line in (*lines, ""):
            write(line)


def _redraw(lines: list[str], stream: Any) -> None:
    """Overwrite the last frame, which does not flicker as a cleared screen does."""
    height = shutil.get_terminal_size().lines - 1
    if len(lines) > height:
        hidden = len(lines) - height + 1
        lines = [*lines[: height - 1], f"... and {hidden} more lines: the terminal is too low."]
    with printing(stream) as write:
        write(_HOME + f"{_CLEAR_LINE}\n".join(lines) + _CLEAR_REST)
