"""``manage.py rele NAME``: the same subcommands as ``rele-cli NAME``."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele.cli import SHARED_COMMANDS
from rele.cli.parser import say_wrong_use_in_one_line
from rele.exceptions import ReleError


class Command(BaseCommand):
    help = "Relé's tools: see `manage.py rele NAME --help`."
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def add_arguments(self, parser: CommandParser) -> None:
        say_wrong_use_in_one_line(parser)
        subparsers = parser.add_subparsers(dest="name", metavar="NAME", required=True)
        for command in SHARED_COMMANDS:
            command.add_to(subparsers)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            status = options["run"](options)
        except ReleError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)
