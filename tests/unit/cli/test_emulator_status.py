"""What people see of ``rele-cli emulator --status``."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from rele.cli.emulator_status import lines_of
from rele.cli.table import age


def _subscription(name: str, topic: str, *figures: Any) -> dict[str, Any]:
    keys = ("consumers", "waiting", "outstanding", "oldest_seconds")
    return {"name": name, "topic": topic, **dict(zip(keys, figures, strict=True))}


def test_a_block_for_each_subscription_and_the_topics_without_one() -> None:
    report = {
        "topics": [
            {"name": "projects/shop/topics/orders", "subscriptions": 2},
            {"name": "projects/shop/topics/photos", "subscriptions": 0},
        ],
        "subscriptions": [
            _subscription(
                "projects/shop/subscriptions/ship",
                "projects/shop/topics/orders",
                3,
                12345,
                20,
                75.0,
            ),
            _subscription(
                "projects/audit/subscriptions/all", "projects/shop/topics/orders", 0, 0, 0, None
            ),
            _subscription("projects/shop/subscriptions/old", "_deleted-topic_", 0, 1, 0, 0.25),
        ],
    }

    lines = lines_of(report, width=80)

    assert "\n".join(lines) == textwrap.dedent(
        """\
        audit/all
          Topic        shop/orders
          Consumers    0
          Waiting      0
          Outstanding  0
          Oldest       -

        shop/old
          Topic        _deleted-topic_
          Consumers    0
          Waiting      1
          Outstanding  0
          Oldest       0.2 s

        shop/ship
          Topic        orders
          Consumers    3
          Waiting      12,345
          Outstanding  20
          Oldest       1 min

        Topics without a subscription
          shop/photos

        2 topics, 3 subscriptions, 12,346 waiting, 20 outstanding"""
    )


def test_a_server_that_has_nothing_says_so() -> None:
    report: dict[str, Any] = {"topics": [], "subscriptions": []}

    assert lines_of(report, width=80) == ["There are no topics and no subscriptions."]


def test_damaged_data_are_in_the_sums() -> None:
    topic = {"name": "projects/shop/topics/orders", "subscriptions": 0}
    report: dict[str, Any] = {"topics": [topic], "subscriptions": [], "damaged": 1200}
    assert lines_of(report, width=80)[-1] == (
        "1 topic, 0 subscriptions, 0 waiting, 0 outstanding, 1,200 damaged and set aside"
    )

    report["topics"] = []
    assert lines_of(report, width=80) == [
        "There are no topics and no subscriptions, 1,200 damaged and set aside."
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (180.0, "3 min"),
        (7200.0, "2 h"),
        (86400.0 * 3, "3 d"),
    ],
)
def test_an_age_is_shown_in_its_largest_unit(seconds: float | None, text: str) -> None:
    assert age(seconds) == text
