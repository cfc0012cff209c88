"""How ``tail`` shows a message."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from rele.cli.style import PLAIN, Style
from rele.cli.tail import as_json, as_text, run
from rele.exceptions import ReleError


def message(**values: Any) -> SimpleNamespace:
    published = datetime(2026, 11, 26, 14, 0, 1, 23456, tzinfo=timezone.utc)
    known = {"message_id": "7", "data": b'{"id": 1}', "ordering_key": "", "attributes": {}}
    return SimpleNamespace(publish_time=published, **{**known, **values})


def test_a_line_for_people() -> None:
    shown = as_text(message(ordering_key="ana", attributes={"b": "2", "a": "1"}), PLAIN)

    assert shown == '14:00:01.023  7  ana  {"id": 1}  a=1  b=2'


def test_it_is_set_off_in_colour() -> None:
    shown = as_text(message(ordering_key="ana"), Style(is_coloured=True))

    assert "\033[1mana\033[0m" in shown
    assert "\033[2m7\033[0m" in shown


def test_nothing_in_a_message_moves_the_cursor() -> None:
    shown = as_text(message(data=b"a\x1b[2Jb\nc", attributes={"k\r": "\x07"}), PLAIN)

    assert "\x1b" not in shown
    assert "\n" not in shown
    assert shown.endswith(r"a\x1b[2Jb\nc  k\r=\x07")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (rb'{"n": "caf\u00e9 \ud83d\ude00", "v": 1.10}', '{"n": "café 😀", "v": 1.10}'),
        (
            rb'["\u0022", "\u000a", "\\u00e9", "\ud83d"]',
            r'["\u0022", "\u000a", "\\u00e9", "\ud83d"]',
        ),
        (rb"no JSON: \u00e9", r"no JSON: \u00e9"),
    ],
    ids=["letters", "others", "no JSON"],
)
def test_escaped_letters_of_json_are_readable(data: bytes, shown: str) -> None:
    assert as_text(message(data=data), PLAIN).endswith(f"  {shown}")


def test_data_that_is_no_text_is_shown_as_in_python() -> None:
    assert as_text(message(data=b"\xff\x00"), PLAIN).endswith(r"b'\xff\x00'")


def test_a_line_of_json() -> None:
    assert json.loads(as_json(message(attributes={"a": "1"}))) == {
        "message_id": "7",
        "publish_time": "2026-11-26T14:00:01.023456+00:00",
        "ordering_key": "",
        "data": '{"id": 1}',
        "attributes": {"a": "1"},
    }


@pytest.mark.parametrize(
    "names", [{"topic": None, "subscription": None}, {"topic": "a", "subscription": "b"}]
)
def test_it_needs_a_topic_or_a_subscription(names: dict[str, Any]) -> None:
    with pytest.raises(ReleError, match="Name a topic, or a subscription"):
        run(names)
