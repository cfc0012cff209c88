from __future__ import annotations

import os
import resource
import signal
import threading
import time

import pytest

from rele.runtime.stopping import StopRequest, StopRequestedError


def test_waits_in_vain_until_it_is_requested() -> None:
    stop = StopRequest()

    assert not stop.wait(0.01)
    assert not stop.is_requested

    stop.request()

    assert stop.wait(60)
    assert stop.wait(60), "a second one that waits knows it, too"
    assert stop.is_requested


def test_ends_a_wait_that_has_begun() -> None:
    stop = StopRequest()
    threading.Timer(0.05, stop.request).start()
    began = time.monotonic()

    assert stop.wait(60)

    assert time.monotonic() - began < 30


def test_a_signal_handler_may_request_it_in_the_middle_of_a_wait() -> None:
    stops = [StopRequest() for _ in range(200)]
    current = iter(stops)
    before = signal.signal(signal.SIGUSR1, lambda *_: next(current).request())
    try:
        for stop in stops:
            killer = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
            killer.start()
            assert stop.wait(20)
            killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_another_thread_receives_ends_the_wait_at_once() -> None:
    stop = StopRequest()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.request())
    other = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    other.start()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        began = time.monotonic()
        assert stop.wait(60)
        assert time.monotonic() - began < 30
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, before)
        other.join()


def test_who_waits_in_the_main_thread_does_not_wake_up_to_look() -> None:
    stop = StopRequest()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

    assert not stop.wait(1.0)

    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before <= 2


def test_a_signal_during_the_last_words_neither_repeats_them_nor_cuts_them_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "_exit", lambda status: done.append(f"exit {status}"))
    now = time.monotonic()

    def speak() -> None:
        stop.request_by_signal()
        done.append("last words")

    stop = StopRequest(before_abrupt_end=speak)
    for moment in (now, now + 1):
        monkeypatch.setattr(time, "monotonic", lambda moment=moment: moment)
        stop.request_by_signal()

    assert done == ["last words", "exit 1"]


@pytest.mark.parametrize(("seconds_later", "ended"), [(0.9, []), (1.0, [1]), (20, [1])])
def test_only_a_second_signal_a_second_later_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, seconds_later: float, ended: list[int]
) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    stop = StopRequest()
    now = time.monotonic()

    for moment in (now, now + seconds_later):
        monkeypatch.setattr(time, "monotonic", lambda moment=moment: moment)
        stop.request_by_signal()

    assert statuses == ended


def test_a_process_whose_work_is_done_has_another_second(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    stop = StopRequest()
    now = time.monotonic()

    for act, seconds, ended in (
        (stop.request_by_signal, 0, []),
        (stop.allow_to_end, 5, []),
        (stop.request_by_signal, 5.9, []),
        (stop.request_by_signal, 6.1, [1]),
    ):
        monkeypatch.setattr(time, "monotonic", lambda moment=now + seconds: moment)
        act()
        assert statuses == ended


def test_asking_again_by_the_program_itself_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", pytest.fail)
    stop = StopRequest()
    now = time.monotonic()

    for moment in (now, now + 20):
        monkeypatch.setattr(time, "monotonic", lambda moment=moment: moment)
        stop.request()

    assert stop.is_requested


def test_what_a_server_holds_up_is_left_when_a_stop_is_requested() -> None:
    stop, may_end = StopRequest(), threading.Event()
    threading.Timer(0.05, stop.request).start()

    with pytest.raises(StopRequestedError):
        stop.run_unless_stopped(lambda: may_end.wait(60))

    may_end.set()


def test_what_is_run_meanwhile_returns_or_raises_as_if_it_were_called() -> None:
    assert StopRequest().run_unless_stopped(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        StopRequest().run_unless_stopped(lambda: 1 / 0)


def test_a_stop_that_no_signal_has_requested_is_not_the_first_of_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    stop = StopRequest()
    now = time.monotonic()

    for act, seconds, ended in (
        (stop.request_unhurried, 0, []),
        (stop.request, 5, []),
        (stop.request_by_signal, 10, []),
        (stop.request_by_signal, 11, [1]),
    ):
        monkeypatch.setattr(time, "monotonic", lambda moment=now + seconds: moment)
        act()
        assert statuses == ended


def test_a_stop_without_hurry_becomes_one_with_it() -> None:
    stop = StopRequest()
    stop.request_unhurried()

    assert (stop.wait(60), stop.is_requested, stop.is_hurried) == (True, True, False)
    assert not stop.wait_for_hurry(0.01)

    threading.Timer(0.05, stop.request).start()

    assert stop.wait_for_hurry(60)
    assert stop.is_hurried
