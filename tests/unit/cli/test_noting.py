"""Keeping what was done about a subscription with a command."""

from __future__ import annotations

from typing import Any

import pytest

from rele.cli.noting import note_action, operator
from rele.config import Config
from rele.project.extensions import Room


def fail(*note: object) -> None:
    raise RuntimeError("no such table")


def test_what_is_done_is_noted_by_each_room_and_stays_done_if_one_cannot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noted: list[Any] = []
    rooms = [
        Room("audit", note_action=fail),
        Room("other"),
        Room("journal", note_action=lambda config, *note: noted.append(note)),
    ]
    monkeypatch.setattr("rele.cli.noting.rooms_in_use", lambda: rooms)

    note_action(Config({}), "projects/shop/subscriptions/orders", "Paused.")

    assert noted == [("orders", operator(), "Paused.")]
    assert capsys.readouterr().err == ("It is done, but audit could not note it: no such table\n")


def test_a_user_without_a_name_is_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", nobody)

    assert operator().startswith("command line@")
