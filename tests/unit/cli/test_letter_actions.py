from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from rele.cli.letter_actions import Action, carry_out
from rele.deadletters.box import Collected
from rele.deadletters.choice import Choice
from rele.deadletters.letter import Letter
from rele.deadletters.outcome import Outcome
from rele.exceptions import ResourceError

NOW = datetime.now(timezone.utc)


def letters(number: int, *, dead_since: datetime = NOW) -> tuple[Letter, ...]:
    return tuple(Letter(str(each), b"", {}, "", dead_since) for each in range(number))


class Box:
    """Holds so many letters at a time."""

    def __init__(self, *rounds: Collected) -> None:
        self.rounds = list(rounds)
        self.dead_until: datetime | None = None

    def collect(self, choice: Choice, *, dead_until: datetime) -> Collected:
        self.dead_until = dead_until
        return self.rounds.pop(0)


def acting(
    box: Box,
    first: Collected,
    act: Any,
    question: str = "Replay {}",
    note: Callable[[str], None] = lambda what: None,
) -> int:
    found: Any = SimpleNamespace(box=box)
    action = Action(question, "replayed", act)
    return carry_out(found, first, Choice(), action, name="orders", yes=True, note=note)


def done(letters: Sequence[Letter], *, is_stopped: Any, report: Any) -> Outcome:
    report(len(letters))
    return Outcome(done=len(letters))


def test_more_letters_than_are_held_at_a_time_are_done_in_rounds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    box = Box(Collected(letters(3), True), Collected(letters(1), False))

    assert acting(box, Collected(letters(3), True), done) == 0

    assert "7 replayed." in capsys.readouterr().err
    assert box.rounds == []


def test_what_fails_again_meanwhile_is_not_replayed_without_end() -> None:
    """The clock of the server may be ahead."""
    ahead = NOW + timedelta(hours=1)
    box = Box(Collected((), False))

    acting(box, Collected(letters(1, dead_since=ahead), True), done)
    assert box.dead_until == ahead
    box = Box(Collected((), False))
    acting(box, Collected(letters(1, dead_since=NOW - timedelta(hours=1)), True), done)
    assert box.dead_until is not None
    assert box.dead_until >= NOW


def test_an_error_ends_it_and_is_said_after_what_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = Outcome(done=2, unconfirmed=1, left=3, error=ResourceError("unavailable"))
    outcome.fail(letters(1), "of a reason")

    noted: list[str] = []
    with pytest.raises(ResourceError, match="unavailable"):
        acting(Box(), Collected(letters(7), True), lambda *_, **how: outcome, note=noted.append)

    assert noted == ["3 dead letters replayed."]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-4:] == [
        "2 replayed.",
        "1 not replayed, and still dead letters: of a reason.",
        (
            "1 replayed, but perhaps still dead letters: their ack was not confirmed, and they may "
            "be replayed again."
        ),
        "3 left as they were.",
    ]


def test_what_is_not_complete_has_status_1() -> None:
    def fail(letters: Sequence[Letter], **how: Any) -> Outcome:
        outcome = Outcome()
        outcome.fail(letters, "of a reason")
        return outcome

    assert acting(Box(), Collected(letters(2), False), fail) == 1
