from __future__ import annotations

import pytest

from rele import Subscription
from rele.exceptions import ConfigurationError
from rele.project.selection import select

SUBS = [Subscription(print, topic) for topic in ("order-paid", "order-sent", "photos")]


def names(only: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
    return [sub.name for sub in select(SUBS, only, exclude)]


@pytest.mark.parametrize(
    ("only", "exclude", "chosen"),
    [
        ((), (), ["order-paid", "order-sent", "photos"]),
        (("order-*",), (), ["order-paid", "order-sent"]),
        (("photos", "*-paid"), (), ["order-paid", "photos"]),
        ((), ("order-*",), ["photos"]),
        (("order-*",), ("*-paid",), ["order-sent"]),
        (("order-????",), ("*-[s]ent",), ["order-paid"]),
    ],
)
def test_chooses_by_patterns_of_names(
    only: tuple[str, ...], exclude: tuple[str, ...], chosen: list[str]
) -> None:
    assert names(only, exclude) == chosen


@pytest.mark.parametrize("option", ["only", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(option: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        select(SUBS, **{option: ["order-*", "photo"]})

    assert str(raised.value) == (
        f"--{option} 'photo' matches no subscription of this project. Did you mean 'photos'?"
    )


def test_upper_case_does_not_match_lower_case() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'photos'"):
        names(("Photos",))


def test_something_must_be_left() -> None:
    with pytest.raises(ConfigurationError) as raised:
        names(("order-*",), ("order-*",))

    assert str(raised.value) == (
        "--exclude leaves nothing to consume: it matches order-paid, order-sent. Narrow its "
        "pattern."
    )


def test_of_nothing_nothing_is_chosen() -> None:
    assert select([], ["order-*"]) == []
