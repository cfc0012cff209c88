from __future__ import annotations

import _thread
import threading
from queue import SimpleQueue
from typing import Any

import pytest

from rele.engine.native.publishing.roles import Role
from rele.exceptions import ThreadStartError


@pytest.fixture
def played() -> SimpleQueue[str]:
    return SimpleQueue()


def test_one_thread_has_the_role_at_a_time(played: SimpleQueue[str]) -> None:
    may_end = threading.Event()

    def play() -> None:
        played.put(threading.current_thread().name)
        may_end.wait(10)

    role = Role("rele-test", play)
    role.start()
    assert played.get(timeout=10) == "rele-test"
    role.start()  # no second one
    assert not role.is_free
    assert not role.play_here(lambda: played.put("here"))
    may_end.set()
    while not role.play_here(lambda: played.put("here")):
        pass

    assert played.get(timeout=10) == "here"
    assert played.empty()


def test_a_role_that_ended_can_be_taken_again(played: SimpleQueue[str]) -> None:
    role = Role("rele-test", lambda: played.put("played"))
    for _ in range(3):
        while not role.is_free:
            pass
        role.start()
        assert played.get(timeout=10) == "played"


def test_an_error_leaves_the_role_free() -> None:
    role = Role("rele-test", lambda: None)

    with pytest.raises(ZeroDivisionError):
        role.play_here(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert role.is_free
    assert role.thread is None


def test_a_system_without_threads_is_an_error_and_the_next_start_tries_again(
    monkeypatch: pytest.MonkeyPatch, played: SimpleQueue[str]
) -> None:
    role = Role("rele-test", lambda: played.put("played"))

    def fail(*_: Any) -> int:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", fail)
        with pytest.raises(ThreadStartError):
            role.start()

    role.start()
    assert played.get(timeout=10) == "played"


def test_work_that_is_handed_over_while_the_thread_ends_is_done(
    played: SimpleQueue[str],
) -> None:
    work = ["late"]

    def play() -> None:
        played.put("played")

    def has_work() -> bool:
        return bool(work and work.pop())

    Role("rele-test", play, has_work).start()

    assert played.get(timeout=10) == "played"
    assert played.get(timeout=10) == "played"
