"""What rooms add to the command line: their subcommands and their options of a worker."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from rele.cli.subcommand import Options
from rele.exceptions import ConfigurationError
from rele.project.extensions import Room, rooms_in_use, rooms_not_in_use


def add_commands(subparsers: Any) -> None:
    """Add the subcommands of the rooms in use."""
    for room in rooms_in_use():
        for command in room.commands:
            command.add_to(subparsers)


def add_refusals(subparsers: Any) -> None:
    """Let each subcommand of the rooms that are not in use say what it needs."""
    taken = {command.name for room in rooms_in_use() for command in room.commands}
    for room in rooms_not_in_use():
        for name in {command.name for command in room.commands} - taken:
            # Nothing that follows the name is an option then: the answer is always the same.
            parser = subparsers.add_parser(name, add_help=False, prefix_chars="\0")
            parser.add_argument("ignored", nargs="*")
            parser.set_defaults(run=partial(_refuse, f"`rele {name}`", room))


def add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a worker that the rooms in use have."""
    for room in rooms_in_use():
        _add_worker_arguments(parser, room)


def add_refused_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those of the other rooms, so that :func:`refuse_worker_arguments` can say what they need.

    Unless a room in use has them.
    """
    for room in rooms_not_in_use():
        try:
            _add_worker_arguments(parser, room)
        except argparse.ArgumentError:
            continue


def refuse_worker_arguments(options: Options) -> None:
    """Refuse the options that were given of rooms that are not in use.

    Raises:
        ConfigurationError: there is one; it says what it needs.
    """
    offered = {dest for room in rooms_in_use() for dest in _defaults(room)}
    for room in rooms_not_in_use():
        for dest, default in _defaults(room).items():
            if dest not in offered and options.get(dest, default) != default:
                _refuse(f"--{dest.replace('_', '-')}", room, options)


def _add_worker_arguments(parser: argparse.ArgumentParser, room: Room) -> None:
    if room.add_worker_arguments is not None:
        room.add_worker_arguments(parser)


def _defaults(room: Room) -> dict[str, Any]:
    """The room's options of a worker, each with its default."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_worker_arguments(parser, room)
    return vars(parser.parse_args([]))


def _refuse(what: str, room: Room, options: Options) -> int:
    raise ConfigurationError(f"{what} needs an app that is not installed. {room.remedy}")
