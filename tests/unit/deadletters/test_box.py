from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from rele.deadletters.box import LEASE, Box
from rele.deadletters.choice import Choice
from rele.deadletters.finding import Place
from rele.exceptions import ResourceError
from rele.messages.dead_letter_attributes import failure_attributes

NOW = datetime.now(timezone.utc)

PLACE = Place("projects/p/topics/dead", "projects/p/subscriptions/dead", None)


def received(number: int, *, ago: float = 60, error: str = "") -> Any:
    """Google's ReceivedMessage of a dead letter."""
    message = SimpleNamespace(
        message_id=str(number),
        data=b"x",
        attributes=failure_attributes(ValueError(error), "ship") if error else {},
        ordering_key="",
        publish_time=NOW - timedelta(seconds=ago),
    )
    return SimpleNamespace(message=message, ack_id=f"ack-{number}")


class Waiting:
    """A subscription; notes what is called."""

    def __init__(self, *messages: Any, refuses: bool = False, answers: bool = True) -> None:
        self.messages = list(messages)
        self.leases: list[tuple[list[str], int]] = []
        self.acked: list[str] = []
        self.extended = threading.Event()
        self.refuses = refuses
        self.answers = answers

    def pull(self, most: int, seconds: float) -> Sequence[Any]:
        pulled, self.messages = self.messages[:most], self.messages[most:]
        return pulled

    def require_answer(self) -> None:
        if not self.answers:
            raise ResourceError("no answer")

    def ack(self, ack_ids: Sequence[str]) -> None:
        if self.refuses:
            raise ResourceError("refused")
        self.acked += ack_ids

    def lease(self, ack_ids: Sequence[str], seconds: int) -> None:
        self.leases.append((list(ack_ids), seconds))
        if len(self.leases) > 1 and seconds:
            self.extended.set()
        if self.refuses:
            raise ResourceError("refused")


def ids(letters: Sequence[Any]) -> list[str]:
    return [letter.message_id for letter in letters]


def test_what_is_looked_at_is_leased_and_then_nacked() -> None:
    waiting = Waiting(received(1), received(2))
    box = Box(PLACE, waiting)

    collected = box.collect()
    assert ids(collected.letters) == ["1", "2"]
    assert not collected.has_more
    assert waiting.leases == [(["ack-1", "ack-2"], LEASE)]
    box.close()
    assert waiting.leases[1:] == [(["ack-1", "ack-2"], 0)]


@pytest.mark.parametrize("messages", [[], [received(1)]], ids=["none", "one"])
def test_a_silent_server_is_not_taken_for_the_end_of_the_letters(messages: list[Any]) -> None:
    with pytest.raises(ResourceError, match="no answer"):
        Box(PLACE, Waiting(*messages, answers=False)).collect()


def test_what_was_acked_is_not_nacked() -> None:
    waiting = Waiting(received(1), received(2))
    box = Box(PLACE, waiting)

    box.ack(box.collect(Choice(frozenset({"1"}))).letters)
    box.close()

    assert waiting.acked == ["ack-1"]
    assert waiting.leases[-1] == (["ack-2"], 0)


def test_leases_are_extended_until_the_box_is_closed() -> None:
    waiting = Waiting(received(1))
    box = Box(PLACE, waiting, extend_every=0.001)

    box.collect()
    assert waiting.extended.wait(10)
    box.close()

    assert waiting.leases[1] == (["ack-1"], LEASE)
    assert waiting.leases[-1] == (["ack-1"], 0)


def test_a_failed_extension_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting(received(1))
    box = Box(PLACE, waiting, extend_every=0.001)

    box.collect()
    waiting.refuses = True
    assert waiting.extended.wait(10)
    waiting.extended.clear()
    assert waiting.extended.wait(10)
    box.close()

    assert "were not extended: refused" in caplog.text
    assert f"available again after {LEASE} s" in caplog.text


def test_so_many_are_held_at_most() -> None:
    waiting = Waiting(*map(received, range(5)))
    box = Box(PLACE, waiting)

    first = box.collect(most=3)
    assert (len(first.letters), first.has_more) == (3, True)
    rest = box.collect(most=3)
    assert (len(rest.letters), rest.has_more) == (2, False)
    box.close()


def test_others_do_not_count_against_the_limit() -> None:
    waiting = Waiting(*(received(n, error="a" if n % 2 else "b") for n in range(10)))
    box = Box(PLACE, waiting)

    assert ids(box.collect(Choice(error="Error: a"), most=4).letters) == ["1", "3", "5", "7"]
    box.close()


def test_payloads_are_kept_only_where_they_are_needed() -> None:
    box = Box(PLACE, Waiting(received(1)))

    assert box.collect(keeps_data=False).letters[0].data == b""
    box.close()


def test_letters_that_came_after_a_moment_are_not_meant() -> None:
    box = Box(PLACE, Waiting(received(1, ago=60), received(2, ago=10)))

    collected = box.collect(dead_until=NOW - timedelta(seconds=30))

    assert ids(collected.letters) == ["1"]
    box.close()


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (Choice(), ["1", "2"]),
        (Choice(older_than=timedelta(seconds=5000)), ["2"]),
        (Choice(error="VALUEERROR: no"), ["1"]),
        (Choice(handler="sh"), ["1"]),
        (Choice(handler="bill"), []),
        (Choice(frozenset({"2", "3"})), ["2"]),
    ],
    ids=lambda each: type(each).__name__,  # the order of a set differs between processes
)
def test_a_choice(choice: Choice, chosen: list[str]) -> None:
    box = Box(PLACE, Waiting(received(1, error="no price"), received(2, ago=9000)))

    assert sorted(ids(box.collect(choice).letters)) == chosen
    box.close()
