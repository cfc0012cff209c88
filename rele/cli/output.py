"""Printing results, without which a command has failed, and lines that may be lost."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from rele.exceptions import ReleError
from rele.runtime.waiting import reported_if_long

READER_GONE = 141
"""The exit status of a command whose reader has ended, as a shell has it after SIGPIPE."""


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
        SystemExit: whoever read it has ended, as ``head`` does: the command ends without a word.
    """
    to: Any = sys.stdout if stream is None else stream
    errors: list[Exception] = [] if to is not None else [OSError(errno.EBADF, "it is closed")]

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
        attempt(lambda: to.flush())
    for error in errors:
        if isinstance(error, BrokenPipeError):
            raise SystemExit(READER_GONE) from error
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"The output could not be written: {reason}.") from error


@contextmanager
def saying_after_a_second(line: str) -> Iterator[None]:
    """If the block takes longer, print ``line``, which names what is waited for, to stderr.

    Where that is not possible, nothing is said.
    """

    def say() -> None:
        with suppress(OSError, ValueError, AttributeError):
            print(line, file=sys.stderr, flush=True)

    with reported_if_long(say):
        yield


class TolerantStream:
    """A text stream that drops what it cannot write, without an error.

    The next line is tried again: a full disk may have space by then.

    Args:
        stream: a text stream, or ``None``, as ``sys.stdout`` is where it was closed at the start.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` if possible."""
        with suppress(OSError, ValueError):
            try:
                self._write(text)
            except UnicodeEncodeError as error:
                self._write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line if possible."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream if possible."""
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def tolerant(stream: Any) -> TextIO:
    """A :class:`TolerantStream` around ``stream``, typed as the text stream that it stands for."""
    return cast(TextIO, TolerantStream(stream))


@contextmanager
def tolerant_output() -> Iterator[None]:
    """Within the block, nothing fails because it cannot be printed.

    That goes for what a project's handlers print, and for the log handlers that are made in the
    block. It is for what works until it is stopped, such as a worker: its reader may have ended
    (``| tee``), or the disk may be full.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(tolerant, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            if stream is not None:
                _flush_or_silence(stream)


def _flush_or_silence(stream: Any) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        _silence(stream)


def _silence(stream: Any) -> None:
    """Send the stream to nowhere: at its exit Python would try again to write what is buffered."""
    with suppress(OSError, ValueError, AttributeError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(devnull, stream.fileno())
        finally:
            os.close(devnull)
