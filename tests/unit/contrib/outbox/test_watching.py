from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest

from rele.cli.output import OutputError
from rele.contrib.outbox.watching import INTERVAL, watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Frames:
    """Two frames, then Ctrl-C while the third is waited for."""

    def __init__(self, *frames: list[str]) -> None:
        self._frames = iter(frames)
        self._left = len(frames)
        self.waits: list[float] = []

    def next(self) -> Iterator[str]:
        yield from next(self._frames)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def test_on_a_terminal_each_frame_replaces_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "24")
    frames, terminal = Frames(["long line", "2"], ["line"]), Terminal()

    watch(frames.next, terminal, frames.wait)

    first, second = terminal.getvalue().split("\033[H")[1:]
    assert first == "long line\033[K\n2\033[J\n"
    assert second == "line\033[J\n"
    assert frames.waits == [INTERVAL, INTERVAL]


def test_what_is_too_high_for_the_terminal_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setenv("COLUMNS", "80")
    frames, terminal = Frames([str(number) for number in range(10)]), Terminal()

    watch(frames.next, terminal, frames.wait)

    shown = re.sub("\033\\[[HJK]", "", terminal.getvalue())
    assert shown == "0\n1\n2\n... and 7 more lines: the terminal is too low.\n"


def test_elsewhere_frames_follow_each_other() -> None:
    frames, stream = Frames(["1"], ["2"]), io.StringIO()

    watch(frames.next, stream, frames.wait)

    assert stream.getvalue() == "1\n\n2\n\n"


def test_ends_where_nothing_can_be_written() -> None:
    frames, stream = Frames(["1"], ["2"]), io.StringIO()
    stream.close()

    with pytest.raises((OutputError, ValueError)):
        watch(frames.next, stream, frames.wait)

    assert frames.waits == []
