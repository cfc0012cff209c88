from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from rele.engine.native import forking
from rele.engine.native.forking import ForkGate, check_child
from rele.exceptions import ConfigurationError


class FakeCalls:
    """Calls that end when a test says so, or when they are cancelled."""

    def __init__(self, waiting: int = 0, sent: int = 0) -> None:
        self.waiting = waiting
        """Calls that wait for a connection."""
        self.sent = sent
        """Calls whose answer is awaited."""
        self.began = time.monotonic()

    @property
    def is_quiet(self) -> bool:
        return not self.waiting + self.sent

    def cancel(self, *, begun_before: float) -> None:
        self.waiting = 0
        if self.began < begun_before:
            self.sent = 0


@pytest.fixture
def gate() -> ForkGate:
    return ForkGate(longest_wait=60.0)


@contextmanager
def in_thread(run: Callable[[], object]) -> Iterator[threading.Event]:
    """Run a function in a thread; the event is set once it has returned."""
    has_ended = threading.Event()

    def run_and_say() -> None:
        run()
        has_ended.set()

    thread = threading.Thread(target=run_and_say)
    thread.start()
    try:
        yield has_ended
    finally:
        thread.join(10)


def test_a_fork_waits_for_the_answers(gate: ForkGate) -> None:
    calls = FakeCalls(sent=1)
    gate.watch(calls)

    with in_thread(gate.close) as has_closed:
        assert not has_closed.wait(0.05)
        calls.sent = 0
        assert has_closed.wait(10)


def test_a_fork_does_not_wait_for_a_connection(gate: ForkGate) -> None:
    calls = FakeCalls(waiting=3)
    gate.watch(calls)

    gate.close()

    assert calls.is_quiet


def test_what_is_not_answered_in_time_is_cancelled() -> None:
    gate, calls = ForkGate(longest_wait=0.01), FakeCalls(sent=2)
    gate.watch(calls)

    gate.close()

    assert calls.is_quiet


def test_a_fork_does_not_wait_for_what_is_not_answered_for_long(gate: ForkGate) -> None:
    calls = FakeCalls(sent=2)
    calls.began -= 60
    gate.watch(calls)

    gate.close()

    assert calls.is_quiet


def test_a_fork_waits_for_what_another_thread_does_in_grpc(gate: ForkGate) -> None:
    with ExitStack() as stack:
        with gate.passed():
            has_closed = stack.enter_context(in_thread(gate.close))
            assert not has_closed.wait(0.05)
        assert has_closed.wait(10)


def test_a_fork_in_the_middle_of_it_does_not_wait_for_itself(gate: ForkGate) -> None:
    with gate.passed():
        gate.close()


def test_no_call_begins_while_the_process_forks(gate: ForkGate) -> None:
    def call() -> None:
        with gate.passed():
            pass

    gate.close()
    with in_thread(call) as has_called:
        assert not has_called.wait(0.05)
        gate.open()
        assert has_called.wait(10)


def test_a_child_waits_for_nothing_of_its_parent(gate: ForkGate) -> None:
    gate.watch(FakeCalls(sent=1))

    with gate.passed():  # in a finaliser, which Python may call at any moment
        gate._forks.append(None)
        gate.renew()
        with gate.passed():
            pass
        gate.close()


class TestDisabledSupport:
    """GRPC_ENABLE_FORK_SUPPORT=0: gRPC would end a child by a signal."""

    @pytest.fixture
    def _child(self, gate: ForkGate, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forking, "gate", gate)
        gate.watch(calls := FakeCalls())
        gate.renew()
        del calls

    @pytest.mark.usefixtures("_child")
    @pytest.mark.parametrize("value", ["0", "false", "No"])
    def test_is_an_error_in_a_child_of_a_process_that_has_published(self, value: str) -> None:
        with pytest.raises(ConfigurationError, match="GRPC_ENABLE_FORK_SUPPORT=" + value):
            check_child({"GRPC_ENABLE_FORK_SUPPORT": value})

    @pytest.mark.usefixtures("_child")
    @pytest.mark.parametrize("environment", [{}, {"GRPC_ENABLE_FORK_SUPPORT": "1"}])
    def test_is_not_the_default(self, environment: dict[str, str]) -> None:
        check_child(environment)

    def test_is_right_for_a_process_that_is_no_child(
        self, gate: ForkGate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forking, "gate", gate)

        check_child({"GRPC_ENABLE_FORK_SUPPORT": "0"})
