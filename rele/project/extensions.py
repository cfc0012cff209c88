"""Rooms: optional capabilities that a package adds to Relé. The core knows none of them by name.

Three ways lead in:

* a Django app calls :func:`register` in ``AppConfig.ready()``;
* a package without an app declares an entry point in the group ``rele.rooms``, which leads to its
  :class:`Room`;
* a package of ``rele.contrib`` has its ``ROOM`` in a module ``room``, so that Relé can say which
  app is missing before anybody has installed it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from rele.config import Config
from rele.schema.problems import Problem
from rele.schema.settings import SETTINGS, Setting
from rele.status.controls import ReadControls

GROUP = "rele.rooms"
"""The group of the entry points."""

OWN_COMMANDS = (
    "deadletters",
    "emulator",
    "health",
    "publish",
    "run",
    "run-once",
    "seek",
    "tail",
)
"""Names of subcommands that no room can have, since Relé has them."""

Begin = Callable[[], None]
Options = Mapping[str, Any]


class Command(Protocol):
    """A subcommand; :class:`rele.cli.subcommand.Subcommand` is one."""

    @property
    def name(self) -> str: ...

    def add_to(self, subparsers: Any) -> None:
        """Make a parser for it."""


@dataclass(frozen=True)
class Room:
    """What a package adds to Relé. Whatever it does not add is left out.

    A Django app's functions import its models when they are called, not before: see :func:`later`.
    """

    name: str
    """The package. A room that is registered under the same name replaces it."""
    app: str | None = None
    """The Django app that the room is part of, if any: it is in use where that is installed."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Its keys of ``RELE``. A backend or a command reads one by ``config.setting(KEY)``."""
    problems: Callable[[Mapping[str, Any]], Iterable[Problem]] | None = None
    """What is wrong for the room with a ``RELE`` dict whose values are all of the right type.

    The system checks show it, and no worker starts with an error among it.
    """
    backends: Collection[str] = ()
    """The dotted paths by which ``RELE["PUBLISHER_BACKEND"]`` may name its publisher backends.

    The checks take their word for it instead of importing them.
    """
    commands: Sequence[Command] = ()
    """Its subcommands of ``manage.py rele``, and of ``rele-cli`` where it is no Django app's."""
    add_worker_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    """Adds its options to ``runrele`` or ``rele-cli run``. None of them is required."""
    beside_worker: Callable[[Config, Options], AbstractContextManager[Begin] | None] | None = None
    """Gets the configuration and the parsed options; returns the context that a worker runs in.

    The context gives a function that is called once the worker's subscriptions exist, and it ends
    when the worker has ended. ``None``: this time nothing runs beside the worker. Of several worker
    processes, the first has it; it ends, in another thread, before that of a replacement begins.
    """
    in_each_worker: Callable[[Config], AbstractContextManager[object]] | None = None
    """Returns the context that each worker process runs in, from before its setup to its end."""
    controls: Callable[[Config], ReadControls] | None = None
    """Returns what reads which subscriptions are paused, and with how many threads they are
    consumed. Each worker process reads it every 2 s, in one thread, and does it."""
    note_action: Callable[[Config, str, str, str], None] | None = None
    """Gets the configuration, the id of a subscription, who has done something about it with a
    command, and what, as a sentence. It keeps that for people."""

    @property
    def is_in_use(self) -> bool:
        """Whether its app is installed, if it is part of one."""
        if self.app is None:
            return True
        django = sys.modules.get("django.apps")  # it is missing where nobody uses Django
        return bool(django and django.apps.apps_ready and django.apps.is_installed(self.app))

    @property
    def remedy(self) -> str:
        """What to do where it is not in use."""
        return f"Add {self.app!r} to INSTALLED_APPS, and migrate."


def later(path: str) -> Callable[..., Any]:
    """The function at ``path``, such as ``shop.audit.commands:run``, imported when it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return pkgutil.resolve_name(path)(*args, **kwargs)

    return call


_registered: dict[str, Room] = {}


def register(room: Room) -> None:
    """Add ``room``, usually in ``AppConfig.ready()``."""
    _registered[room.name] = room


def rooms_in_use() -> list[Room]:
    """The rooms of the installed Django apps and of the packages that declare an entry point.

    Of two that bring the same setting or command, the first counts: :func:`problems_of_rooms` says
    so.
    """
    return _in_use()[0]


def rooms_not_in_use() -> list[Room]:
    """The rooms whose Django app is not installed."""
    return [room for room in _known() if not room.is_in_use]


def problems_of_rooms() -> list[Problem]:
    """The rooms that cannot be used, each with the reason."""
    return [*_broken_entry_points(), *_in_use()[1]]


@contextmanager
def beside_worker(config: Config, options: Options) -> Iterator[Begin]:
    """Within the block, run beside a worker what the rooms in use have for it.

    It begins when what the block is given is called.
    """
    begins: list[Begin] = []
    with ExitStack() as stack:
        for room in rooms_in_use():
            if room.beside_worker and (context := room.beside_worker(config, options)):
                begins.append(stack.enter_context(context))

        def begin() -> None:
            for each in begins:
                each()

        yield begin


@contextmanager
def in_each_worker(config: Config) -> Iterator[None]:
    """Within the block, run in a worker process what the rooms in use have for each of them."""
    with ExitStack() as stack:
        for room in rooms_in_use():
            if room.in_each_worker is not None:
                stack.enter_context(room.in_each_worker(config))
        yield


def readers_of_controls(config: Config) -> list[ReadControls]:
    """What reads, in the rooms in use, what is asked of subscriptions while workers run."""
    return [room.controls(config) for room in rooms_in_use() if room.controls is not None]


def _known() -> list[Room]:
    declared = {room.name: room for room in (*_rooms_of_contrib(), *_rooms_of_entry_points())}
    return [*{**declared, **_registered}.values()]


def _in_use() -> tuple[list[Room], list[Problem]]:
    """The rooms in use without those that take a name which is taken, and a problem for each."""
    owners = {**dict.fromkeys(SETTINGS, "Relé"), **dict.fromkeys(OWN_COMMANDS, "Relé")}
    rooms: list[Room] = []
    problems: list[Problem] = []
    for room in filter(lambda each: each.is_in_use, _known()):
        names = [*room.settings, *(command.name for command in room.commands)]
        taken = next((name for name in names if name in owners), None)
        if taken is None:
            rooms.append(room)
            owners.update(dict.fromkeys(names, room.name))
        else:
            problems.append(unusable(room.name, f"{owners[taken]} has {taken!r} already"))
    return rooms, problems


@cache
def _rooms_of_contrib() -> tuple[Room, ...]:
    contrib = importlib.import_module("rele.contrib")
    packages = [m.name for m in pkgutil.iter_modules(contrib.__path__, "rele.contrib.") if m.ispkg]
    modules = (f"{name}.room" for name in packages if importlib.util.find_spec(f"{name}.room"))
    return tuple(importlib.import_module(module).ROOM for module in modules)


def _rooms_of_entry_points() -> Iterator[Room]:
    return (loaded for loaded in _entry_points() if isinstance(loaded, Room))


def _broken_entry_points() -> Iterator[Problem]:
    return (loaded for loaded in _entry_points() if isinstance(loaded, Problem))


def _entry_points() -> tuple[Room | Problem, ...]:
    return _entry_points_on(tuple(sys.path))


@cache
def _entry_points_on(path: tuple[str, ...]) -> tuple[Room | Problem, ...]:
    found = importlib.metadata.entry_points(group=GROUP)
    return tuple(_load(each) for each in sorted(found, key=lambda each: each.name))


def _load(entry_point: importlib.metadata.EntryPoint) -> Room | Problem:
    try:
        room = entry_point.load()
    except Exception as error:  # noqa: BLE001 - another package's code
        return unusable(entry_point.name, f"{type(error).__name__}: {error}")
    if isinstance(room, Room):
        return room
    return unusable(entry_point.name, f"{entry_point.value} is not a rele.project.extensions.Room")


def unusable(name: str, reason: str) -> Problem:
    """The problem of a room with an error of its own."""
    return Problem(
        "rele.W009",
        f"The room {name!r} cannot be used: {reason}.",
        "Correct the package that has it, or uninstall it.",
    )
