from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

import rele
from rele.backends import Message, Refused
from rele.backends.console import ConsoleBackend
from tests.support.backends import futures_of

ATTRIBUTES = {"lang": "en", "country": "ES"}


def written(*messages: Message) -> list[str]:
    stream = io.StringIO()
    ConsoleBackend(stream=stream).send(messages)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Message("photos", b'{"id": 1}'), '[photos] {"id": 1}'),
        (Message("photos", b"1", ATTRIBUTES), "[photos] 1 country='ES' lang='en'"),
        (Message("photos", b"1", {}, "c-1"), "[photos] 1 ordering_key='c-1'"),
        (Message("photos", '"é"'.encode()), '[photos] "é"'),
        (Message("photos", b"a\nb\x1b[2J"), r"[photos] a\nb\x1b[2J"),
        (Message("photos", b"\xff"), r"[photos] \xff"),
        (Message("photos", b"1", {"note": "a\nb"}), r"[photos] 1 note='a\nb'"),
    ],
)
def test_a_message_is_one_readable_line(message: Message, line: str) -> None:
    assert written(message) == [line]


def test_a_long_payload_is_cut_and_its_length_shown() -> None:
    [line] = written(Message("photos", b"x" * 10_000))

    assert line == f"[photos] {'x' * 500}… (10000 bytes)"


def test_each_message_gets_an_id_of_its_own() -> None:
    backend = ConsoleBackend(stream=io.StringIO())

    futures = futures_of(backend, [Message("photos", b"1"), Message("photos", b"2")])
    futures += futures_of(backend, [Message("photos", b"3")])

    assert [future.result(timeout=0) for future in futures] == ["1", "2", "3"]


def test_lines_of_many_threads_are_whole() -> None:
    both_write = threading.Barrier(2)
    overlaps: list[str] = []

    class WaitingStream(io.StringIO):
        """Gives another thread the time to begin a line before this one is written."""

        def write(self, text: str) -> int:
            with suppress(threading.BrokenBarrierError):
                both_write.wait(0.05)
                overlaps.append(text)
            return super().write(text)

    stream = WaitingStream()
    backend = ConsoleBackend(stream=stream)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda n: backend.send([Message("photos", b"%d" % n)]), range(2)))

    assert overlaps == []
    assert sorted(stream.getvalue().splitlines()) == ["[photos] 0", "[photos] 1"]


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_stream_that_is_gone_fails_the_message(error: Exception) -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise error

    [future] = futures_of(ConsoleBackend(stream=Gone()), [Message("photos", b"1")])

    assert future.exception(timeout=0) is error


def test_rele_publishes_to_the_standard_output_by_the_setting(capsys: Any) -> None:
    rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.backends.console.ConsoleBackend"})

    assert rele.publish("photos", {"id": 1}, lang="en").result(timeout=0) == "1"

    assert capsys.readouterr().out.startswith("[photos] {\"id\": 1} lang='en' published_at='")


def test_what_is_sent_later_and_what_is_cancelled_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.backends.console.ConsoleBackend"})

    scheduled = rele.publish_later("photos", 1, when=timedelta(hours=1), event_id="e-1")

    assert scheduled.cancel()
    assert not scheduled.cancel()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("[photos] 1 event_id='e-1' published_at=")
    assert first.endswith(" when=1:00:00")
    assert second == "cancelled: event_id='e-1'"


def test_a_stream_that_is_closed_refuses_what_is_sent_later() -> None:
    stream = io.StringIO()
    stream.close()

    answer = ConsoleBackend(stream=stream).send_later(Message("photos", b"1"), timedelta(hours=1))

    assert isinstance(answer, Refused)
