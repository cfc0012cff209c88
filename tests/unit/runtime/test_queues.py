from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rele.runtime import queues
from rele.runtime.queues import GreenQueue, new_queue


def test_it_is_that_of_python_where_nothing_has_replaced_the_threads() -> None:
    assert type(new_queue()) is queue.SimpleQueue


def test_it_is_made_for_greenlets_where_something_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues.queue, "SimpleQueue", object)

    assert isinstance(new_queue(), GreenQueue)


class TestGreenQueue:
    def test_gives_back_in_order(self) -> None:
        items = GreenQueue()
        for number in range(3):
            items.put(number)

        assert (items.qsize(), items.empty()) == (3, False)
        assert [items.get(), items.get(timeout=0), items.get_nowait()] == [0, 1, 2]
        assert (items.qsize(), items.empty()) == (0, True)

    @pytest.mark.parametrize("arguments", [{"block": False}, {"timeout": 0}, {"timeout": 0.01}])
    def test_says_that_it_is_empty(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(queue.Empty):
            GreenQueue().get(**arguments)

    def test_wakes_all_that_wait(self) -> None:
        items = GreenQueue()

        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(items.get, timeout=10) for _ in range(4)]
            for number in range(4):
                items.put(number)

        assert sorted(each.result() for each in waiting) == [0, 1, 2, 3]

    def test_loses_nothing_between_threads(self) -> None:
        items = GreenQueue()
        received: list[Any] = []

        def receive() -> None:
            while len(received) < 4000:
                try:
                    received.append(items.get(timeout=0.001))
                except queue.Empty:
                    continue

        receiver = threading.Thread(target=receive)
        receiver.start()
        with ThreadPoolExecutor(4) as threads:
            for start in range(4):
                threads.submit(lambda start=start: [items.put((start, n)) for n in range(1000)])
        receiver.join(20)

        assert len(received) == 4000
        for start in range(4):
            assert [n for each, n in received if each == start] == [*range(1000)]
