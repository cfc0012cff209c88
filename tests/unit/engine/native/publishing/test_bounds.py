from __future__ import annotations

from rele.engine.native.publishing.bounds import Bounds


def test_there_is_room_up_to_the_limits() -> None:
    bounds = Bounds(3, 100)
    assert bounds.admit(2, 60)

    assert bounds.has_room(1, 40)
    assert not bounds.has_room(2, 2)
    assert not bounds.has_room(1, 41)


def test_a_message_above_the_limit_is_accepted_where_nothing_is_outstanding() -> None:
    bounds = Bounds(3, 100)

    assert bounds.has_room(1, 101)
    assert bounds.admit(1, 1)
    assert not bounds.has_room(1, 101)


def test_the_sender_corrects_what_threads_that_collide_have_lost() -> None:
    bounds = Bounds(3, 100)
    assert bounds.admit(1, 10)  # of two threads, whose additions were lost but for one
    bounds.take(2, 20)
    bounds.correct()

    assert bounds.estimate == (2, 20)
    bounds.release(2, 20)
    bounds.correct()
    assert bounds.estimate == (0, 0)
    assert bounds.is_idle
