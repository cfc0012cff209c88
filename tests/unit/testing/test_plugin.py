"""The fixtures of the pytest plugin."""

from __future__ import annotations

import pytest

import rele
from rele import publishing
from rele.backends import Message


def test_messages_go_to_the_test_whatever_is_set_up_in_it(rele_messages: list[Message]) -> None:
    rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.backends.console.ConsoleBackend"})
    rele.publish("photos", 1)
    publishing.forget()
    rele.publish("photos", 2)

    assert [message.data for message in rele_messages] == [b"1", b"2"]


def test_the_publisher_of_before_is_back_afterwards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rele.backends.locmem import LocMemBackend, messages

    rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.backends.console.ConsoleBackend"})
    rele.publish("photos", 1)
    with publishing.sent_through(LocMemBackend()):
        rele.publish("photos", 2)
    rele.publish("photos", 3)

    assert [message.data for message in messages] == [b"2"]
    messages.clear()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1", "3"]
