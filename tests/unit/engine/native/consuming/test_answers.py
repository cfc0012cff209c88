"""Whether an event loop still answers."""

from __future__ import annotations

from rele.engine.native.consuming.answers import BLOCKED, EVERY, AnswerWatch


def test_a_loop_that_answers_is_asked_again() -> None:
    watch = AnswerWatch()

    assert watch.look(0) == "ask"
    assert watch.answer(0.1) is None
    assert watch.look(EVERY) == "ask"


def test_one_that_does_not_answer_is_reported_once() -> None:
    watch = AnswerWatch()
    watch.look(0)
    now = 0.0
    found = []
    while now < 5:
        now += EVERY
        found.append(watch.look(now))

    assert found.count("report") == 1
    assert found.index("report") * EVERY <= BLOCKED + EVERY


def test_its_first_answer_then_says_for_how_long_it_was_blocked() -> None:
    watch = AnswerWatch()
    watch.look(0)
    for number in range(1, 5):
        watch.look(number * EVERY)

    assert watch.seconds(2.5) == 2.5
    assert watch.answer(2.5) == 2.5
    assert watch.seconds(3) == 0
    assert watch.look(3) == "ask"
    assert watch.answer(3.1) is None


def test_a_look_that_came_late_proves_nothing() -> None:
    """Where the whole interpreter was blocked, the loop had no time to answer either."""
    watch = AnswerWatch()
    watch.look(0)

    assert watch.look(30) is None
    assert watch.look(30 + EVERY) == "report"


def test_a_pause_without_handlers_is_no_blocked_loop() -> None:
    watch = AnswerWatch()
    watch.look(0)
    watch.answer(0.1)
    watch.rest()

    assert watch.look(600) == "ask"
    assert watch.look(600 + EVERY) is None
