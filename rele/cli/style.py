"""Colour and width of what is printed: colour on a terminal alone, where nobody has refused it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Style:
    """How text is set off from other text; without colour it is left as it is."""

    is_coloured: bool

    def bold(self, text: str) -> str:
        return self._in("1", text)

    def dim(self, text: str) -> str:
        return self._in("2", text)

    def warning(self, text: str) -> str:
        return self._in("33", text)

    def _in(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.is_coloured else text


PLAIN = Style(is_coloured=False)


def style_of(stream: Any, *, is_forced: bool = False, is_refused: bool = False) -> Style:
    """The style for what is written to ``stream``.

    Args:
        stream: a text stream.
        is_forced: an option asks for colour, which counts for more than the environment.
        is_refused: an option asks for none.
    """
    if is_forced or is_refused:
        return Style(is_coloured=is_forced)
    refused = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return Style(is_coloured=not refused and is_terminal(stream))


def is_terminal(stream: Any) -> bool:
    """Whether ``stream`` is one; it is ``None`` where it was closed before the process began."""
    return stream is not None and bool(stream.isatty())


def terminal_width() -> int:
    """How many columns there are: of COLUMNS, else of the terminal, else 80."""
    return shutil.get_terminal_size().columns
