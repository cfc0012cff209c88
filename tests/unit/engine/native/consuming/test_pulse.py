"""Whether an event loop runs, as other threads see it."""

from __future__ import annotations

from collections.abc import Callable

from rele.engine.native.consuming.pulse import LATE, Pulse


class Loop:
    """A loop that does what it is asked to when the test says so."""

    def __init__(self) -> None:
        self.time = 100.0
        self.asked: list[Callable[[], None]] = []
        self.pulse = Pulse(self.asked.append, lambda: self.time)

    def run(self) -> None:
        for function in self.asked:
            function()
        self.asked.clear()


def test_one_that_answers_runs() -> None:
    loop = Loop()
    for _ in range(5):
        assert loop.pulse.is_beating()
        loop.run()
        loop.time += LATE


def test_one_that_has_not_answered_for_a_while_does_not_until_it_answers() -> None:
    loop = Loop()
    assert loop.pulse.is_beating()
    loop.time += LATE - 1
    assert loop.pulse.is_beating()
    loop.time += 1
    assert not loop.pulse.is_beating()
    assert len(loop.asked) == 1

    loop.run()
    assert loop.pulse.is_beating()
