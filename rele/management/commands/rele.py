"""``manage.py rele NAME``: the same subcommands as ``rele-cli NAME``."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele.cli import SHARED_COMMANDS
from rele.cli.extension_arguments import add_commands, add_refusals
from rele.cli.parser import say_wrong_use_plainly
from rele.exceptions import ReleError
from rele.management.project import load_django_project


class Command(BaseCommand):
    help = "Tools for Pub/Sub. `manage.py rele NAME --help` describes each of them."
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def add_arguments(self, parser: CommandParser) -> None:
        say_wrong_use_plainly(parser)
        # None shows that no -v was given; Django's default is 1.
        parser.set_defaults(verbosity=None, load_project=load_django_project)
        subparsers = parser.add_subparsers(dest="name", metavar="NAME")
        for command in SHARED_COMMANDS:
            command.add_to(subparsers)
        add_commands(subparsers)
        add_refusals(subparsers)

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
