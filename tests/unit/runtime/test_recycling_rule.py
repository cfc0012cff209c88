from __future__ import annotations

from rele.runtime.recycling_rule import RecyclingRule

MIB = 1024 * 1024


def never() -> int:
    raise AssertionError("the memory is not asked for")


def test_without_limits_nothing_is_due() -> None:
    rule = RecyclingRule()

    assert not rule.is_set
    assert {rule.note_message(now, never) for now in range(1000)} == {None}


def test_the_last_of_the_messages_is_reported_once() -> None:
    rule = RecyclingRule(max_messages=3)

    reasons = [rule.note_message(0, never) for _ in range(6)]

    assert reasons == [None, None, "it has handled 3 message(s) (--max-messages)", *[None] * 3]


def test_memory_above_the_limit_is_reported_once() -> None:
    rule = RecyclingRule(max_rss=500 * MIB)

    sizes = [500 * MIB, 520 * MIB, 540 * MIB]
    reasons = [rule.note_message(now, lambda now=now: sizes[now]) for now in range(3)]

    assert reasons == [
        None,
        "it uses 520 MiB of memory after 2 message(s), and --max-rss allows 500 MiB",
        None,
    ]


def test_memory_is_asked_for_ten_times_a_second_at_most() -> None:
    rule, asked = RecyclingRule(max_rss=500 * MIB), []

    for step in range(1000):
        now = step / 1000
        rule.note_message(now, lambda now=now: asked.append(now) or 0)  # type: ignore[func-returns-value]

    assert len(asked) == 10


def test_a_process_that_is_too_large_from_the_beginning() -> None:
    rule = RecyclingRule(max_rss=10 * MIB)

    assert rule.excess(10 * MIB) is None
    assert rule.excess(80 * MIB) == "it uses 80 MiB of memory, and --max-rss allows 10 MiB"
    assert RecyclingRule(max_rss=5).excess(80 * MIB) == (
        "it uses 80 MiB of memory, and --max-rss allows 0 MiB"
    )
    assert RecyclingRule().excess(80 * MIB) is None
