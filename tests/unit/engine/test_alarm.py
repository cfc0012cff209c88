from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rele.engine.alarm import Alarm
from rele.exceptions import ThreadStartError
from tests.support.inbox import Inbox
from tests.support.recorder import raising


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm("rele-photos-timer")
    yield alarm
    alarm.stop()
    for thread in threads():
        thread.join(10)


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "rele-photos-timer"]


def test_calls_what_is_due_in_order_in_its_thread(alarm: Alarm) -> None:
    called = Inbox()
    now = alarm.now()
    alarm.call_at(now + 0.02, lambda: called.put(threading.current_thread().name))
    alarm.call_at(now, lambda: called.put("first"))

    alarm.start()

    assert called.wait_for(2) == ["first", "rele-photos-timer"]


def test_a_later_statement_replaces_an_earlier_one(alarm: Alarm) -> None:
    called = Inbox()
    alarm.start()

    alarm.call_at(alarm.now() + 3600, called_twice := lambda: called.put("called"))
    alarm.call_at(alarm.now(), called_twice)

    called.wait_for(1)


def test_what_is_cancelled_is_not_called(alarm: Alarm) -> None:
    called = Inbox()
    cancelled = raising(AssertionError)
    alarm.call_at(alarm.now(), cancelled)
    alarm.cancel(cancelled)
    alarm.call_at(alarm.now(), lambda: called.put("other"))

    alarm.start()

    assert called.wait_for(1) == ["other"]


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(1)])
def test_what_raises_is_logged_and_the_next_is_called(
    alarm: Alarm, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    called = Inbox()
    alarm.call_at(alarm.now(), raising(error))
    alarm.call_at(alarm.now() + 0.01, lambda: called.put("next"))

    alarm.start()

    called.wait_for(1)
    assert "A step of rele-photos-timer failed" in caplog.text


def test_has_one_thread_from_its_start_to_its_stop(alarm: Alarm) -> None:
    assert threads() == []
    alarm.start()
    alarm.start()

    [thread] = threads()
    alarm.stop()

    thread.join(10)
    assert not thread.is_alive()


def test_a_thread_that_cannot_be_started_is_an_error_that_says_what_to_do(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", raising(RuntimeError("can't start new thread")))

    with pytest.raises(ThreadStartError, match=r"rele-photos-timer: raise the limit of threads"):
        alarm.start()
