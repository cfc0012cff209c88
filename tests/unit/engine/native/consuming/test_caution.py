from __future__ import annotations

import itertools
import random

import pytest

from rele.engine.native.consuming.caution import CONCERNS, LASTS_FOR, Caution
from rele.engine.native.consuming.delivery import Delivery


def deliveries(ids: list[int], attempt: int) -> list[Delivery]:
    return [Delivery(f"ack-{each}-{attempt}", f"id-{each:02}", attempt=attempt) for each in ids]


class Worker:
    """A worker whose messages are acked at once, until one of them kills it."""

    def __init__(self) -> None:
        self.caution = Caution()
        self.caution.start(0)
        self.settled: set[Delivery] = set()

    def admit(self, ready: list[Delivery], now: float = 1.0) -> list[Delivery]:
        return self.caution.admit(ready, now, self.settled.__contains__)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_what_was_not_delivered_before_is_handled_at_once(worker: Worker) -> None:
    for each in (deliveries([1, 2, 3], 1), deliveries([4, 5], 0)):
        assert worker.admit(list(each)) == each
    assert worker.caution.next_due() is None


def test_what_was_delivered_before_is_handled_one_at_a_time(worker: Worker) -> None:
    first, second, third = deliveries([1, 2, 3], 2)

    assert worker.admit([third, first]) == [first]
    assert worker.admit([second]) == []
    worker.settled.add(first)
    assert worker.admit([]) == [second]
    worker.settled.add(second)
    assert worker.admit([]) == [third]


def test_at_odd_attempts_the_other_way_round(worker: Worker) -> None:
    first, second = deliveries([1, 2], 3)

    assert worker.admit([first, second]) == [second]


@pytest.mark.parametrize("number", [2, 4, 20, 60])
def test_every_other_message_is_settled_after_two_deaths(number: int) -> None:
    for seed in range(20):
        chance = random.Random(seed)
        left = set(range(number))
        killer = chance.randrange(number)
        for attempt in (2, 3):
            worker = Worker()
            ready = deliveries(chance.sample(sorted(left), len(left)), attempt)
            for _ in itertools.count():
                [running] = worker.admit(ready)
                ready = []
                handled = int(running.message_id[3:])
                if handled == killer:
                    break
                worker.settled.add(running)
                left.remove(handled)
        assert left == {killer}


def test_it_ends_after_a_while(worker: Worker) -> None:
    redelivered = deliveries([1, 2, 3], 2)
    assert len(worker.admit(list(redelivered))) == 1
    assert worker.caution.next_due() == LASTS_FOR

    assert worker.admit([], LASTS_FOR) == redelivered[1:]
    assert worker.caution.next_due() is None
    assert len(worker.admit(deliveries([4, 5], 2), LASTS_FOR)) == 2


def test_it_concerns_so_many_messages_only(worker: Worker) -> None:
    redelivered = deliveries(list(range(CONCERNS + 10)), 2)

    assert len(worker.admit(redelivered)) == 1 + 10


def test_a_message_that_fails_here_has_not_killed_this_worker(worker: Worker) -> None:
    first, second = deliveries([1, 2], 2)
    worker.admit([first])
    worker.caution.note_failed(second, 1)

    assert worker.admit([second]) == [second]
