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


class FakeLoop(FakeCalls):
    """The loop of consumers, which stands still when a test says so."""

    thread_id: int | None = None
    is_inherited = False

    def leave(self) -> None:
        self.is_inherited = True


class TestForksAmidConsumers:
    def test_a_fork_waits_until_the_loop_stands_still(self, gate: ForkGate) -> None:
        loop = FakeLoop(sent=1)
        gate.watch_loop(loop)

        with in_thread(gate.close) as has_closed:
            assert not has_closed.wait(0.05)
            assert gate.is_closed
            loop.sent = 0
            assert has_closed.wait(10)

    def test_the_thread_of_the_loop_does_not_wait_for_itself(self, gate: ForkGate) -> None:
        loop = FakeLoop(sent=1)
        loop.thread_id = threading.get_ident()
        gate.watch_loop(loop)

        gate.close()

        assert loop.sent, "nothing has ended"

    def test_one_thread_forks_after_the_other(self, gate: ForkGate) -> None:
        gate.close()

        with in_thread(gate.close) as has_closed:
            assert not has_closed.wait(0.05)
            gate.open()
            assert has_closed.wait(10)

    def test_a_signal_may_fork_in_the_middle_of_a_fork(self, gate: ForkGate) -> None:
        gate.close()
        gate.close()
        gate.open()
        assert gate.is_closed

        gate.open()

        assert not gate.is_closed

    def test_a_child_leaves_the_loops_of_its_parent_alone(self, gate: ForkGate) -> None:
        loop = FakeLoop()
        gate.watch_loop(loop)
        gate.close()

        gate.renew()

        assert loop.is_inherited
        assert not gate.is_closed
        gate.close()

    def test_a_child_that_was_forked_amid_streams_says_that_grpc_does_not_work(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate, loop = ForkGate(longest_wait=0.01), FakeLoop(sent=1)
        loop.cancel = lambda **when: None  # type: ignore[method-assign]
        monkeypatch.setattr(forking, "gate", gate)
        gate.watch_loop(loop)

        gate.close()
        gate.open()
        check_child({})

        gate.renew()
        with pytest.raises(ConfigurationError, match="could not be ended before"):
            check_child({})

    def test_a_grandchild_is_another_generation(self, gate: ForkGate) -> None:
        before = gate.generation

        gate.renew()

        assert gate.generation != before


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
