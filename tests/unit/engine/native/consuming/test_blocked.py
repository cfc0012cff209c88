from __future__ import annotations

import pytest

from rele.engine.native.consuming.blocked import BlockedWatch, busiest


@pytest.fixture
def watch() -> BlockedWatch:
    watch = BlockedWatch(3.0)
    watch.note(100.0)
    return watch


class TestBlockedWatch:
    def test_what_takes_as_long_as_it_may_is_not_mentioned(self, watch: BlockedWatch) -> None:
        assert watch.note(102.9) == 0
        assert watch.note(105.0) == 0

    def test_a_loop_that_waits_for_events_is_not_blocked(self, watch: BlockedWatch) -> None:
        assert watch.note(160.0, allowed=60.0) == 0
        assert watch.note(9999.0, allowed=float("inf")) == 0

    def test_the_time_beyond_what_it_was_to_wait_counts(self, watch: BlockedWatch) -> None:
        assert watch.note(135.0, allowed=1.0) == 34.0

    def test_each_block_is_mentioned_once(self, watch: BlockedWatch) -> None:
        assert watch.note(134.0) == 34.0
        assert watch.note(134.1) == 0

    def test_a_fork_is_not_counted(self, watch: BlockedWatch) -> None:
        watch.skip(110.0)

        assert watch.note(110.5) == 0

    def test_the_first_call_says_nothing(self) -> None:
        assert BlockedWatch(3.0).note(1e9) == 0


class TestBusiest:
    def test_it_is_the_thread_that_used_the_processor(self) -> None:
        assert busiest({1: 5.0, 2: 90.0}, {1: 38.9, 2: 90.1}, 34.0) == 1

    def test_a_thread_that_began_meanwhile_is_known(self) -> None:
        assert busiest({1: 5.0}, {1: 5.0, 2: 4.0}, 5.0) == 2

    def test_there_is_none_where_nothing_ran(self) -> None:
        assert busiest({1: 5.0}, {1: 5.1}, 34.0) is None
        assert busiest({}, {}, 34.0) is None
