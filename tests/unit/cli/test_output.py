from __future__ import annotations

import errno
import io
import sys

import pytest

from rele.cli.output import OutputError, TolerantStream, printing, tolerant_output
from rele.project.startup import say


class Disk(io.StringIO):
    """A file on a disk that is full or not."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_what_cannot_be_printed_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    monkeypatch.setattr(sys, "stdout", disk)

    with tolerant_output():
        disk.is_full = True
        print("lost")
        disk.is_full = False
        print("printed")

    assert disk.getvalue().strip() == "printed"
    assert sys.stdout is disk


def test_a_closed_stream_and_no_stream_at_all_take_everything() -> None:
    closed = io.StringIO()
    closed.close()

    for stream in (TolerantStream(closed), TolerantStream(None)):
        print("text", file=stream)  # type: ignore[call-overload]
        stream.writelines(["more", "text"])
        stream.flush()


def test_a_result_needs_a_stream_and_progress_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream is ``None`` where it was closed before the process began."""

    def show_result() -> None:
        with printing() as show:
            show("result")

    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match=r"could not be written: it is closed\."):
        show_result()

    disk = Disk()
    disk.is_full = True
    for stream in (None, disk):
        monkeypatch.setattr(sys, "stderr", stream)
        say("progress")


def test_characters_that_the_stream_does_not_know_are_escaped() -> None:
    raw = io.BytesIO()
    stream = TolerantStream(io.TextIOWrapper(raw, "ascii"))

    stream.write("Relé 1\n")
    stream.flush()

    assert raw.getvalue() == b"Rel\\xe9 1\n"
