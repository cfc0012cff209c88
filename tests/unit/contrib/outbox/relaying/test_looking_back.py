from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rele.contrib.outbox.relaying.looking_back import Cursor
from rele.contrib.outbox.relaying.rows import Page, Row

TOOK = 0.2
"""Seconds of a look from the beginning, as past a million rows."""

LATE = Row(5, "orders", None, 0, 0, 1, (5, 0))


def looks_from_the_beginning(found: dict[int, Row]) -> Iterator[float]:
    """When they happen, in seconds; the n-th one finds ``found[n]``."""
    cursor, now, number = Cursor(), 0.0, 0
    while True:
        is_from_beginning = cursor.begin(now) == 0
        rows = []
        if is_from_beginning:
            yield now
            rows = [found[number]] if number in found else []
            number += 1
        took = TOOK if is_from_beginning else 0.001
        cursor.note(Page(rows, last=1_000), now, took)
        now += took + 0.005


def pauses(found: dict[int, Row], count: int) -> list[int]:
    """Between those looks, in whole seconds."""
    looks = looks_from_the_beginning(found)
    times = [next(looks) for _ in range(count + 1)]
    # The first ones are those of the start: nothing is known by then of the last 5 s.
    return [round(after - before) for before, after in pairwise(times) if after > 5]


def test_it_looks_from_the_beginning_the_more_rarely_the_longer_nothing_is_found() -> None:
    *_, before_last, last = pauses({}, 12)

    assert (before_last, last) == (20, 20)


def test_it_does_so_in_a_twentieth_of_its_time_once_it_has_found_what_was_committed_late() -> None:
    assert 4 in pauses({12: LATE}, 14)[-2:]
