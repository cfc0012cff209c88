from __future__ import annotations

import importlib
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from rele.management import rooms

ROOMS = {
    "rele.contrib.outbox": ["relay", "outbox"],
    "rele.contrib.inbox": ["inbox"],
}


@pytest.mark.parametrize(
    "arguments",
    [
        ["relay"],
        ["relay", "--once", "--batch-size", "5"],
        ["relay", "--help"],
        ["outbox", "--format", "json"],
        ["inbox", "--no-such-option", "--", "-x"],
    ],
    ids=" ".join,
)
def test_a_command_of_an_app_that_is_not_installed_says_what_it_needs(
    arguments: list[str], settings: Any
) -> None:
    settings.INSTALLED_APPS = ["rele"]
    app = "inbox" if arguments[0] == "inbox" else "outbox"

    with pytest.raises(CommandError) as error:
        call_command("rele", *arguments)

    assert str(error.value) == (
        f"`rele {arguments[0]}` needs the {app}: add 'rele.contrib.{app}' to INSTALLED_APPS, and "
        "migrate."
    )


def test_help_lists_no_command_that_cannot_be_used(settings: Any, capsys: Any) -> None:
    settings.INSTALLED_APPS = ["rele", "rele.contrib.inbox"]

    call_command("rele")

    output = capsys.readouterr().out
    assert "inbox" in output
    assert "relay" not in output


@pytest.mark.parametrize("room", ROOMS)
def test_the_names_are_those_of_the_commands(room: str) -> None:
    commands = importlib.import_module(f"{room}.commands").COMMANDS

    assert list(importlib.import_module(room).COMMAND_NAMES) == ROOMS[room]
    assert [command.name for command in commands] == ROOMS[room]


def test_no_room_is_left_out() -> None:
    assert set(ROOMS) <= set(rooms._rooms())
