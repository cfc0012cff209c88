"""``manage.py rele NAME``: the same subcommands as ``rele-cli NAME``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import module_has_submodule

from rele.cli import SHARED_COMMANDS
from rele.cli.parser import say_wrong_use_plainly
from rele.cli.subcommand import Subcommand
from rele.exceptions import ReleError


class Command(BaseCommand):
    help = "Tools for Pub/Sub. `manage.py rele NAME --help` describes each of them."
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def add_arguments(self, parser: CommandParser) -> None:
        say_wrong_use_plainly(parser)
        subparsers = parser.add_subparsers(dest="name", metavar="NAME")
        for command in (*SHARED_COMMANDS, *_commands_of_rooms()):
            command.add_to(subparsers)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["name"] is None:
            self.print_help("manage.py", "rele")
            return
        try:
            status = options["run"](options)
        except ReleError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)


def _commands_of_rooms() -> Iterator[Subcommand]:
    """Those that the installed ones of Relé's own apps declare in their ``commands.py``."""
    for app in apps.get_app_configs():
        if app.name.startswith("rele.contrib.") and module_has_submodule(app.module, "commands"):
            yield from importlib.import_module(f"{app.name}.commands").COMMANDS
