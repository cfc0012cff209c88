"""How far a command has got: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

from rele.cli.style import is_terminal

_WIDTH = 30
_PARTS = 10
"""As many plain lines are written for the whole, at most."""


class Progress:
    """Counts what is done; within the block, it is shown.

    Args:
        total: how much there is to do; it may turn out to be more.
        done: what is done to each, such as ``replayed``.
        stream: a text stream; by default the standard error.
        has_lines: whether plain lines are written where there is no terminal.
    """

    def __init__(
        self, total: int, done: str, stream: Any = None, *, has_lines: bool = True
    ) -> None:
        self.total = total
        self.count = 0
        self._done = done
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = is_terminal(self._stream)
        self._shown_part = 0 if has_lines else sys.maxsize
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        """Count ``number`` more, in any thread."""
        with self._lock:
            self.count += number
            if self._is_terminal:
                self._write(f"\r{self._bar()}")
            elif (part := self.count * _PARTS // max(self.total, 1)) > self._shown_part:
                self._shown_part = part
                self._write(f"{self._text()}\n")

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._write(self._bar())
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_terminal:
            self._write("\n")

    def _bar(self) -> str:
        share = min(self.count / self.total, 1.0) if self.total else 1.0
        filled = round(share * _WIDTH)
        return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {share:4.0%} {self._text()}"

    def _text(self) -> str:
        return f"{self.count:,} of {max(self.total, self.count):,} {self._done}"

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError, AttributeError):
            self._stream.write(text)
            self._stream.flush()
