"""Threads of handlers whose number changes while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rele.engine.native.consuming.handler_threads import Handlers, HandlerThreads
from tests.support.inbox import Inbox


class Gate:
    """Handlers that end one by one, when the test says so."""

    def __init__(self) -> None:
        self.begun = Inbox()
        self._may_end = Inbox()
        self.handlers: Handlers[int] = Handlers(1, self._handle, HandlerThreads("test", 0.01))

    def _handle(self, number: int) -> None:
        self.begun.put(number)
        self._may_end.wait_until(lambda ended: number in ended)

    def let_end(self, *numbers: int) -> None:
        for number in numbers:
            self._may_end.put(number)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.let_end(*range(20))


def wait_until(condition: Callable[[], Any]) -> None:
    """The threads end at once; this only lets them run."""
    for _ in range(100_000):
        if condition():
            return
    pytest.fail("It does not come true.")


def test_more_are_handled_at_once_where_there_are_more_threads(gate: Gate) -> None:
    gate.handlers.add(range(5))
    gate.handlers.start()
    gate.begun.wait_for(1)

    gate.handlers.set_number(3)
    gate.handlers.start()

    assert sorted(gate.begun.wait_for(3)) == [0, 1, 2]
    assert gate.handlers.running == 3


def test_where_there_are_fewer_those_that_run_finish(gate: Gate) -> None:
    gate.handlers.set_number(3)
    gate.handlers.add(range(5))
    gate.handlers.start()
    gate.begun.wait_for(3)

    gate.handlers.set_number(1)
    assert gate.handlers.running == 3
    gate.let_end(0, 1)
    wait_until(lambda: gate.handlers.running == 1)
    gate.handlers.start()
    assert sorted(gate.begun.items) == [0, 1, 2]

    gate.let_end(2)
    assert gate.begun.wait_for(4)[-1] == 3
    gate.let_end(3)
    assert gate.begun.wait_for(5)[-1] == 4


def test_threads_that_were_to_end_go_on_where_they_are_wanted_again(gate: Gate) -> None:
    gate.handlers.set_number(3)
    gate.handlers.add(range(6))
    gate.handlers.start()
    gate.begun.wait_for(3)

    gate.handlers.set_number(1)
    gate.handlers.set_number(3)
    gate.let_end(0, 1, 2)

    assert sorted(gate.begun.wait_for(6)) == [0, 1, 2, 3, 4, 5]
    assert gate.handlers.running == 3
