"""Deadlines of very many items in one heap."""

import heapq
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

# With fewer stale entries than this, rebuilding the heap is not worth it.
_SLACK = 1024


class Timed:
    """An item that can be due at a time.

    ``due`` is that time, or None. ``armed_at`` belongs to the heap: the time under which it last
    filed the item, which may be earlier than ``due``.
    """

    __slots__ = ("armed_at", "due")

    def __init__(self) -> None:
        self.due: float | None = None
        self.armed_at: float | None = None


T = TypeVar("T", bound=Timed)


class TimerHeap(Generic[T]):
    """Items ordered by when they are due.

    Arming, postponing and disarming cost at most a heap push: an entry of the heap that has
    become stale is skipped later, and when stale entries outnumber the others the heap is
    rebuilt, so that memory stays in proportion to what is armed.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._tie_breaks = count()
        self._armed = 0

    def __len__(self) -> int:
        return self._armed

    def arm(self, item: T, due: float) -> None:
        """Make ``item`` due at ``due``, whether or not it was before."""
        if item.due is None:
            self._armed += 1
        item.due = due
        if item.armed_at is None or due < item.armed_at:
            self._file(item, due)

    def disarm(self, item: T) -> None:
        """Forget ``item``'s time, if it has one."""
        if item.due is None:
            return
        item.due = None
        self._armed -= 1
        self._tidy()

    def next_due(self) -> float | None:
        """The earliest time at which ``pop_due`` may have something."""
        heap = self._heap
        while heap and not self._is_live(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Iterator[T]:
        """Disarm and yield what is due at ``now``, the earliest first."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            place = heapq.heappop(heap)
            if not self._is_live(place):
                continue
            item = place[2]
            item.armed_at = None
            if item.due is not None and item.due > now:
                self._file(item, item.due)
                continue
            item.due = None
            self._armed -= 1
            yield item

    def clear(self) -> None:
        """Forget everything."""
        for _, _, item in self._heap:
            item.due = item.armed_at = None
        self._heap.clear()
        self._armed = 0

    def _file(self, item: T, at: float) -> None:
        item.armed_at = at
        heapq.heappush(self._heap, (at, next(self._tie_breaks), item))
        self._tidy()

    def _is_live(self, place: tuple[float, int, T]) -> bool:
        """Whether ``place`` is the current entry of an armed item; if not, it is stale."""
        at, _, item = place
        if item.armed_at != at:
            return False
        if item.due is None:
            item.armed_at = None
            return False
        return True

    def _tidy(self) -> None:
        if len(self._heap) <= 2 * self._armed + _SLACK:
            return
        live = [place for place in self._heap if self._is_live(place)]
        # In place: `pop_due` may be iterating over this very list.
        self._heap[:] = live
        heapq.heapify(self._heap)
