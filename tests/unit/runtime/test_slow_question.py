"""A slow answer is asked for in a thread, and only while somebody looks now and then."""

from __future__ import annotations

import logging
import queue
from contextlib import suppress

import pytest

from rele.runtime.slow_question import SlowQuestion
from tests.support.polling import wait_until


class Slow:
    """A question whose answers a test gives."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answers: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()
        self.asked = 0
        self.question = SlowQuestion("figure", self.ask, every=5, good_for=15, now=lambda: self.now)

    def ask(self) -> int:
        self.asked += 1
        answer = self.answers.get(timeout=30)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self, answer: int | Exception) -> None:
        """Answer the question that is asked, and return when that is known."""
        self.answers.put(answer)
        wait_until(lambda: not self.question._is_asking, 30, every=0.001)


@pytest.fixture
def slow() -> Slow:
    return Slow()


def test_an_answer_is_there_once_it_has_come(slow: Slow) -> None:
    assert slow.question.look() is None
    slow.answer(7)

    assert slow.question.look() == 7


def test_it_is_asked_again_after_a_while_and_meanwhile_the_last_answer_counts(slow: Slow) -> None:
    slow.question.look()
    slow.answer(7)

    slow.now = 4.9
    slow.question.look()
    assert slow.asked == 1
    slow.now = 5
    assert slow.question.look() == 7
    slow.answer(8)

    assert slow.question.look() == 8
    assert slow.asked == 2


def test_it_is_asked_once_at_a_time(slow: Slow) -> None:
    slow.question.look()
    slow.now = 60

    slow.question.look()
    assert slow.question.waits_for == 60
    slow.answer(7)

    assert slow.asked == 1


def test_it_is_asked_on_for_a_while_after_a_look() -> None:
    asked: queue.SimpleQueue[None] = queue.SimpleQueue()
    question = SlowQuestion("figure", lambda: asked.put(None), 0.01, good_for=15, asked_on=0.2)

    question.look()

    for _ in range(4):
        asked.get(timeout=30)
    with suppress(queue.Empty):  # once nobody asks any more
        while True:
            asked.get(timeout=1)


def test_an_answer_that_is_too_old_is_none(slow: Slow) -> None:
    slow.question.look()
    slow.answer(7)

    slow.now = 16
    assert slow.question.look() is None
    slow.answer(8)


def test_a_failure_is_logged_once(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    for slow.now in (0, 5):
        slow.question.look()
        slow.answer(OSError("no route"))

    assert slow.question.look() is None
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage() for each in warnings] == ["The figure is not known: no route"]
