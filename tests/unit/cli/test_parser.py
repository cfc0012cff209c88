"""What is said of options that are not what they may be."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from rele.cli import RUN, SHARED_COMMANDS, main
from rele.cli.parser import (
    listening_address,
    number_from,
    say_wrong_use_plainly,
    size_in_bytes,
    whole_number,
)
from rele.project.extensions import rooms_in_use

Output = Any


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x", "'x' is not a whole number"),
        ("", "'' is not a whole number"),
        ("1.5", "'1.5' is not a whole number"),
        ("0", "'0' is too small: the least is 1"),
        ("11", "'11' is too large: the most is 10"),
    ],
)
def test_a_number_that_is_none_is_described_in_english(
    text: str, complaint: str, capsys: Output
) -> None:
    parser = argparse.ArgumentParser(prog="tool")
    say_wrong_use_plainly(parser)
    parser.add_argument("--size", type=number_from(1, int, "whole number", 10))

    with pytest.raises(SystemExit) as raised:
        parser.parse_args(["--size", text])

    assert raised.value.code == 2
    assert capsys.readouterr().err == f"tool: error: argument --size: {complaint}\n"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "x"])
def test_what_is_no_finite_number_is_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a number of days"):
        number_from(0, float, "number of days")(text)


def test_numbers_are_read() -> None:
    assert whole_number("7") == 7
    assert number_from(0, float, "number of days", 1)("0.5") == 0.5


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("512B", 512),
        ("100K", 100 << 10),
        ("500M", 500 << 20),
        ("500 MiB", 500 << 20),
        ("1.5g", 3 << 29),
        ("2GB", 2 << 30),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1M", "500 apples", "1e9", "0x10"])
def test_what_is_no_size_is_described_with_an_example(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a size: .* such as 500M"):
        size_in_bytes(text)


def test_no_process_fits_into_no_memory() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="too small: the least is 1 byte"):
        size_in_bytes("0M")


@pytest.mark.parametrize("command", ["runrele", "showsubscriptions"])
def test_an_option_of_django_is_described_in_english_too(command: str) -> None:
    with pytest.raises(CommandError, match="argument -v/--verbosity: 'x' is not a whole number"):
        call_command(command, "-v", "x")


def test_an_option_that_takes_no_value_says_so(capsys: Output) -> None:
    with pytest.raises(SystemExit):
        main(["emulator", "--status=now"])

    assert capsys.readouterr().err == (
        "rele-cli emulator: error: argument --status: it takes no value, not 'now'\n"
    )


def _commands() -> list[Any]:
    return [RUN, *SHARED_COMMANDS, *(each for room in rooms_in_use() for each in room.commands)]


@pytest.mark.parametrize("name", ["emulator", "inbox", "outbox", "publish", "relay", "run"])
def test_each_option_has_a_help_text(name: str) -> None:
    [command] = [command for command in _commands() if command.name == name]
    recorded: list[dict[str, Any]] = []

    class Recorder(argparse.ArgumentParser):
        def add_argument(self, *names: Any, **settings: Any) -> Any:
            recorded.append(settings)
            return super().add_argument(*names, **settings)

    command.add_to(argparse.ArgumentParser().add_subparsers(parser_class=Recorder))

    assert len(recorded) > 2
    assert all(settings["help"] for settings in recorded)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", ("", 8080)),
        ("0", ("", 0)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:8080", ("localhost", 8080)),
    ],
)
def test_an_address_to_listen_on(text: str, address: tuple[str, int]) -> None:
    assert listening_address(text) == address


@pytest.mark.parametrize("text", ["", "x", "65536", "127.0.0.1", "127.0.0.1:65536", "1.5", "²"])
def test_no_address_to_listen_on(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is neither a port nor HOST:PORT: write"):
        listening_address(text)
