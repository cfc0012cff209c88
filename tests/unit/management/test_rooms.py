from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from rele.cli import SHARED_COMMANDS
from rele.cli.run import RUN
from rele.project.extensions import OWN_COMMANDS


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
        f"`rele {arguments[0]}` needs an app that is not installed. Add "
        f"'rele.contrib.{app}' to INSTALLED_APPS, and migrate."
    )


def test_help_lists_no_command_that_cannot_be_used(settings: Any, capsys: Any) -> None:
    settings.INSTALLED_APPS = ["rele", "rele.contrib.inbox"]

    call_command("rele")

    output = capsys.readouterr().out
    assert "inbox" in output
    assert "relay" not in output


def test_help_lists_the_commands_of_what_is_installed(settings: Any, capsys: Any) -> None:
    settings.INSTALLED_APPS = ["rele", "rele.contrib.inbox", "rele.contrib.outbox"]

    call_command("rele")

    output = capsys.readouterr().out
    assert [f"\n    {name} " in output for name in ("inbox", "relay", "outbox")] == [True] * 3


def test_a_room_cannot_take_the_name_of_a_command_of_rele() -> None:
    assert set(OWN_COMMANDS) == {RUN.name, *(command.name for command in SHARED_COMMANDS)}
