from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rele.engine.google.forking import ForkGate
from tests.support.inbox import Inbox
from tests.support.recorder import raising

REPOSITORY = Path(__file__).parents[4]


class Call:
    """A call that begins, and ends when the test says so."""

    def __init__(self) -> None:
        self.begun = Inbox()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.begun.put("call")
        assert self.may_end.wait(10)
        return "ended"


@pytest.fixture
def gate() -> ForkGate:
    return ForkGate()


@pytest.fixture
def call() -> Call:
    return Call()


@pytest.fixture
def in_thread(call: Call) -> Iterator[Callable[..., threading.Thread]]:
    """Call a function in a thread, which must have ended when the test does."""
    threads: list[threading.Thread] = []

    def start(function: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=function)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    call.may_end.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_guarded_call_gets_its_arguments_and_gives_its_result(gate: ForkGate) -> None:
    guarded = gate.guard(lambda *args, **kwargs: (args, kwargs))

    assert guarded(1, two=2) == ((1,), {"two": 2})


def test_a_fork_waits_for_the_calls_under_way(
    gate: ForkGate, call: Call, in_thread: Callable[..., threading.Thread]
) -> None:
    for _ in range(2):
        in_thread(gate.guard(call))
    call.begun.wait_for(2)

    closing = in_thread(gate.close)
    closing.join(0.05)
    assert closing.is_alive()
    call.may_end.set()

    closing.join(10)
    assert not closing.is_alive()


def test_a_call_waits_for_the_fork_to_end(
    gate: ForkGate, call: Call, in_thread: Callable[..., threading.Thread]
) -> None:
    gate.close()

    calling = in_thread(gate.guard(call))
    calling.join(0.05)
    assert call.begun.items == []
    gate.open()

    call.begun.wait_for(1)
    call.may_end.set()
    calling.join(10)


def test_a_call_that_raises_is_not_waited_for(gate: ForkGate) -> None:
    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            gate.guard(raising(error))()

    assert gate._under_way == 0


def test_a_call_that_does_not_end_holds_a_fork_up_for_a_while_only(
    call: Call, in_thread: Callable[..., threading.Thread]
) -> None:
    gate = ForkGate(longest_wait=0.01)
    in_thread(gate.guard(call))
    call.begun.wait_for(1)

    gate.close()

    gate.open()
    assert gate._under_way == 1


def test_a_renewed_gate_knows_nothing_of_the_calls_before(
    gate: ForkGate, call: Call, in_thread: Callable[..., threading.Thread]
) -> None:
    in_thread(gate.guard(call))
    call.begun.wait_for(1)
    gate._is_forking = True

    gate.renew()

    assert gate._under_way == 0
    assert gate.guard(lambda: "goes through")() == "goes through"
