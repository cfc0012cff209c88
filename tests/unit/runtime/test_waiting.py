from __future__ import annotations

from threading import Event

from rele.runtime.waiting import reported_if_long


def test_a_long_wait_is_reported_while_it_lasts() -> None:
    reported = Event()

    with reported_if_long(reported.set, seconds=0):
        assert reported.wait(10)


def test_a_short_one_is_not() -> None:
    reported = Event()

    with reported_if_long(reported.set, seconds=600) as nothing:
        assert nothing is None

    assert not reported.is_set()
