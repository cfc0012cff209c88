from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from rele.exceptions import ResourceError
from rele.resources.parallel_calls import MAX_CALLS, Calls, UnansweredError, advised
from tests.unit.resources.conftest import FakeProject, photos, resources


class Crowd:
    """Calls that each wait until as many are under way as may be at a time."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer
        self._all_there = threading.Barrier(MAX_CALLS)
        self.threads: set[int] = set()

    def __call__(self, **arguments: Any) -> Any:
        self.threads.add(threading.get_ident())
        self._all_there.wait(10)
        return self._answer(**arguments)


def test_subscriptions_are_read_and_made_side_by_side_and_never_too_many(
    server: FakeProject,
) -> None:
    declared = [photos(suffix=str(number)) for number in range(2 * MAX_CALLS)]
    crowds = []
    for method in ("get_subscription", "create_subscription"):
        call = getattr(server.subscriber, method)
        crowds.append(Crowd(call.side_effect))
        call.side_effect = crowds[-1]
    desired = resources(server)

    desired.apply(desired.plan(declared))

    assert len(server.subscriptions) == 2 * MAX_CALLS
    assert [len(crowd.threads) for crowd in crowds] == [MAX_CALLS, MAX_CALLS]


def test_the_results_come_in_the_order_of_the_items() -> None:
    turns = [threading.Event() for _ in range(3)]
    turns[2].set()

    def answer(number: int) -> int:
        assert turns[number].wait(10)
        if number:
            turns[number - 1].set()
        return number * 10

    assert list(Calls().run(answer, range(3)).items()) == [(0, 0), (1, 10), (2, 20)]


def test_refusals_are_collected_in_that_order_too() -> None:
    calls = Calls()

    def refuse_odd(number: int) -> int:
        if number % 2:
            raise ResourceError(f"not {number}")
        return number

    assert list(calls.run(refuse_odd, range(5))) == [0, 2, 4]
    assert list(map(str, calls.refusals)) == ["not 1", "not 3"]


@pytest.mark.parametrize("error", [UnansweredError("nobody there"), ValueError("a mistake")])
def test_what_is_no_refusal_ends_it_at_once_without_beginning_the_rest(error: Exception) -> None:
    begun: list[int] = []
    was_raised = threading.Event()

    def fail_at_first(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise error
        assert was_raised.wait(10)

    with pytest.raises(type(error), match=str(error)):
        Calls().run(fail_at_first, range(1000))

    was_raised.set()
    for thread in threading.enumerate():
        if thread.name == "rele-resources":
            thread.join(10)
    assert len(begun) <= MAX_CALLS + 1


def test_what_is_not_answered_says_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")

    with pytest.raises(UnansweredError, match=r"nobody there\. What to do: PUBSUB_EMULATOR"):
        with advised("localhost:1"):
            raise UnansweredError("nobody there")
