"""``manage.py showsubscriptions``: list what runrele would consume, or compare it with Pub/Sub."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele.cli.output import printing
from rele.cli.parser import say_wrong_use_plainly
from rele.cli.style import is_terminal, style_of, terminal_width
from rele.cli.subscriptions import NOT_IN_THE_WAY, Display
from rele.exceptions import ReleError
from rele.management.discover import discover_subs_modules
from rele.management.project import load_django_project
from rele.project.startup import say_project


class Command(BaseCommand):
    help = (
        "List the subscriptions of the installed apps, sorted by topic, or compare them with what "
        "Pub/Sub has."
    )
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def add_arguments(self, parser: CommandParser) -> None:
        say_wrong_use_plainly(parser)
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--verbose",
            action="store_true",
            help="show each subscription as a block, with its function's dotted path and every "
            "option that is set",
        )
        action.add_argument(
            "--diff",
            action="store_true",
            help="print the changes that Pub/Sub needs to match what is declared; exit with status "
            "1 if there are any",
        )
        action.add_argument(
            "--apply",
            action="store_true",
            help="make those changes; exit with status 1 if one of them is impossible",
        )
        parser.add_argument(
            "--format",
            choices=("table", "json"),
            default="table",
            help="table, for people (the default; plain lines with --diff and --apply), or json, "
            "which has every field",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        write_note = partial(self.stderr.write, style_func=str)
        style = style_of(
            self.stdout, is_forced=options["force_color"], is_refused=options["no_color"]
        )
        try:
            project = load_django_project(lambda: discover_subs_modules())  # which tests patch
            config = project.require_config(ignoring=NOT_IN_THE_WAY)
            if options["diff"] or options["apply"]:
                say_project(config, write_note)
            with printing(self.stdout) as show:
                is_json, width = options["format"] == "json", _width_of(self.stdout)
                display = Display(project, style, is_json, show, write_note, width)
                status = _run(display, options)
        except ReleError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)


def _width_of(stream: Any) -> int | None:
    return terminal_width() if is_terminal(stream) else None


def _run(display: Display, options: Mapping[str, Any]) -> int:
    if options["diff"]:
        return display.differences()
    if options["apply"]:
        return display.application()
    return display.overview(in_blocks=options["verbose"])
