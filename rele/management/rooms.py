"""The subcommands of Relé's own apps: of those that are installed, and what the others need."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from rele.cli.subcommand import Options
from rele.exceptions import ConfigurationError


def add_commands(subparsers: Any) -> None:
    """Add what each app declares in its ``commands.py``.

    An app that is not installed cannot import its models, so of those commands only the names are
    known, and each says what it needs.
    """
    for name in _rooms():
        room = importlib.import_module(name)
        if apps.is_installed(name):
            if module_has_submodule(room, "commands"):
                for command in importlib.import_module(f"{name}.commands").COMMANDS:
                    command.add_to(subparsers)
        else:
            for command in getattr(room, "COMMAND_NAMES", ()):
                _add_refusal(subparsers, command, name)


def app_needed(what: str, app: str) -> str:
    """The sentence that ``what`` the user asked for needs an app that is not installed."""
    return f"{what} needs the {app.rpartition('.')[2]}: add {app!r} to INSTALLED_APPS, and migrate."


def _rooms() -> Iterator[str]:
    """The dotted paths of all packages below ``rele.contrib``."""
    contrib = importlib.import_module("rele.contrib")
    for module in pkgutil.iter_modules(contrib.__path__, "rele.contrib."):
        if module.ispkg:
            yield module.name


def _add_refusal(subparsers: Any, command: str, app: str) -> None:
    # Nothing that follows the name is an option then: whatever it is, the answer is the same.
    parser = subparsers.add_parser(command, add_help=False, prefix_chars="\0")
    parser.add_argument("ignored", nargs="*")
    parser.set_defaults(run=partial(_refuse, command, app))


def _refuse(command: str, app: str, options: Options) -> int:
    raise ConfigurationError(app_needed(f"`rele {command}`", app))
