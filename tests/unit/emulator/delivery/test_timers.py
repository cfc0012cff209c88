"""Deadlines of very many items in one heap."""

from __future__ import annotations

from rele.emulator.delivery.timers import Timed, TimerHeap


def test_items_come_when_due_the_earliest_first() -> None:
    heap: TimerHeap[Timed] = TimerHeap()
    early, late, never = Timed(), Timed(), Timed()
    heap.arm(late, 20.0)
    heap.arm(early, 10.0)
    heap.arm(never, 30.0)

    assert heap.next_due() == 10.0
    assert list(heap.pop_due(20.0)) == [early, late]
    assert early.due is None
    assert len(heap) == 1


def test_a_postponed_item_comes_at_its_new_time_only() -> None:
    heap: TimerHeap[Timed] = TimerHeap()
    item = Timed()
    heap.arm(item, 10.0)
    heap.arm(item, 20.0)

    assert list(heap.pop_due(10.0)) == []
    assert heap.next_due() == 20.0
    assert list(heap.pop_due(20.0)) == [item]


def test_an_item_brought_forward_comes_once() -> None:
    heap: TimerHeap[Timed] = TimerHeap()
    item = Timed()
    heap.arm(item, 20.0)
    heap.arm(item, 10.0)

    assert list(heap.pop_due(10.0)) == [item]
    assert list(heap.pop_due(20.0)) == []
    assert heap.next_due() is None


def test_a_disarmed_item_does_not_come_until_armed_again() -> None:
    heap: TimerHeap[Timed] = TimerHeap()
    item = Timed()
    heap.arm(item, 10.0)
    heap.disarm(item)
    assert heap.next_due() is None

    heap.arm(item, 30.0)
    assert list(heap.pop_due(29.0)) == []
    assert list(heap.pop_due(30.0)) == [item]


def test_an_item_can_be_armed_while_others_come() -> None:
    heap: TimerHeap[Timed] = TimerHeap()
    first, second = Timed(), Timed()
    heap.arm(first, 1.0)
    heap.arm(second, 2.0)
    for item in heap.pop_due(2.0):
        heap.arm(item, 5.0)

    assert len(heap) == 2
    assert list(heap.pop_due(5.0)) == [first, second]


def test_what_is_forgotten_does_not_pile_up() -> None:
    heap: TimerHeap[Timed] = TimerHeap()
    for at in range(100_000):
        item = Timed()
        heap.arm(item, float(at))
        heap.disarm(item)

    assert len(heap) == 0
    assert len(heap._heap) < 2000


def test_clear() -> None:
    heap: TimerHeap[Timed] = TimerHeap()
    item = Timed()
    heap.arm(item, 1.0)
    heap.clear()

    assert item.due is None
    assert list(heap.pop_due(2.0)) == []
