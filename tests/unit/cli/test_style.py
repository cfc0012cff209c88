"""Colour is for terminals, and for those who do not refuse it."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from rele.cli.style import style_of
from rele.cli.table import block


def stream(*, is_terminal: bool) -> Mock:
    return Mock(isatty=Mock(return_value=is_terminal))


@pytest.mark.parametrize(
    ("is_terminal", "environment", "is_coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_gets_colour_unless_the_environment_refuses_it(
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
    environment: dict[str, str],
    is_coloured: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert style_of(stream(is_terminal=is_terminal)).is_coloured is is_coloured


def test_an_option_counts_for_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert style_of(stream(is_terminal=False), is_forced=True).is_coloured
    assert not style_of(stream(is_terminal=True), is_refused=True).is_coloured


def test_a_name_is_never_broken() -> None:
    name = "n" * 100

    assert list(block("title", [("Topic", name), ("Sub", "a b")], width=20)) == [
        "title",
        f"  Topic  {name}",
        "  Sub    a b",
    ]
