"""What errors say about a name that is not known."""

from __future__ import annotations

from rele.schema.problems import did_you_mean


def test_a_name_like_the_wrong_one_is_suggested() -> None:
    assert did_you_mean("max_mesages", ["threads", "max_messages"]) == (
        "Did you mean 'max_messages'?"
    )


def test_capitals_do_not_matter() -> None:
    assert did_you_mean("middleware", ["ENGINE", "MIDDLEWARE"]) == "Did you mean 'MIDDLEWARE'?"


def test_where_none_is_like_it_the_known_ones_are_listed() -> None:
    assert did_you_mean("colour", ["threads", "batch"]) == "The known ones are 'batch', 'threads'."


def test_a_long_list_is_cut() -> None:
    names = [f"orders-{number:02}" for number in range(12)]

    text = did_you_mean("zebra", names)

    assert text.startswith("The known ones are 'orders-00', 'orders-01'")
    assert text.endswith("'orders-09' and 2 more.")
