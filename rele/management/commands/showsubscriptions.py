"""``manage.py showsubscriptions``: list what runrele would consume, or compare it with Pub/Sub."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele.cli.output import printing, saying_after_a_second
from rele.cli.parser import say_wrong_use_plainly
from rele.cli.style import style_of, terminal_width
from rele.cli.table import aligned, block
from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.exceptions import ReleError
from rele.management.discover import discover_subs_modules
from rele.management.project import load_django_project
from rele.project.overview import describe, stated_fields
from rele.project.startup import say_project

COLUMNS = {"topic": "Topic", "subscription": "Subscriber(s)", "function": "Sub"}

Show = Callable[[str], None]

COMPARING = "Comparing the declarations with Pub/Sub ..."
AS_DECLARED = "Pub/Sub has everything as it is declared."

NOT_SHOWN = ("rele.W002", "rele.W009")
"""Problems of credentials and of rooms, which do not keep subscriptions from being shown."""


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
        run = self._list
        if options["diff"]:
            run = self._diff
        elif options["apply"]:
            run = self._apply
        self._style = style_of(
            self.stdout, is_forced=options["force_color"], is_refused=options["no_color"]
        )
        try:
            config, subs = _find()
            if options["diff"] or options["apply"]:
                say_project(config, partial(self.stderr.write, style_func=str))
            with printing(self.stdout) as show:
                status = run(config, subs, options, show)
        except ReleError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)

    def _list(
        self, config: Config, subs: list[Subscription], options: dict[str, Any], show: Show
    ) -> int:
        rows = sorted((describe(sub, config) for sub in subs), key=lambda row: row["topic"])
        if options["format"] == "json":
            show(json.dumps(rows, indent=2))
        elif options["verbose"]:
            self._show_blocks(rows, show)
        else:
            cells = [[row[key] for key in COLUMNS] for row in rows]
            for line in aligned([list(COLUMNS.values()), *cells], style=self._style):
                show(line)
        return 0

    def _show_blocks(self, rows: list[dict[str, Any]], show: Show) -> None:
        width = terminal_width()
        for number, row in enumerate(rows):
            if number:
                show("")
            for line in block(row["subscription"], stated_fields(row), width, self._style):
                show(line)
        if not rows:
            show("There are no subscriptions.")

    def _diff(
        self, config: Config, subs: list[Subscription], options: dict[str, Any], show: Show
    ) -> int:
        from rele.project.comparison import compare

        with saying_after_a_second(COMPARING):
            comparison = compare(config, subs)
        changes = comparison.plan.changes
        if options["format"] == "json":
            content = {
                "changes": [change.as_json() for change in changes],
                "orphans": list(comparison.orphans),
            }
            show(json.dumps(content, indent=2))
        else:
            for change in changes:
                self._show_change(change, show)
            if not changes and not comparison.plan.refusals:
                show(AS_DECLARED)
            for path in comparison.orphans:
                show(f"orphan {path}: no sub declares it; Relé deletes nothing.")
        if comparison.complaint:
            self.stderr.write(comparison.complaint)
        comparison.plan.raise_refusals()
        return 1 if changes else 0

    def _apply(
        self, config: Config, subs: list[Subscription], options: dict[str, Any], show: Show
    ) -> int:
        from rele.project.comparison import bring_about

        reported: list[Any] = []
        as_json = options["format"] == "json"

        def report(change: Any) -> None:
            reported.append(change)
            if not as_json:
                self._show_change(change, show, "" if change.carry_out is None else "Done: ")

        with saying_after_a_second(COMPARING):
            obstacles = bring_about(config, subs, report).obstacles
        if as_json:
            done = [change.as_json() for change in reported if change not in obstacles]
            left = [each.as_json() for each in obstacles]
            show(json.dumps({"done": done, "left": left}, indent=2))
        elif not reported:
            show(AS_DECLARED)
        return 1 if obstacles else 0

    def _show_change(self, change: Any, show: Show, prefix: str = "") -> None:
        """Show a change in one line, as a warning if it is impossible."""
        line = f"{prefix}{change.summary}"
        show(self._style.warning(line) if change.carry_out is None else line)
        if change.advice:
            show(f"    {change.advice}")


def _find() -> tuple[Config, list[Subscription]]:
    """The configuration and what is declared, refused where a worker could not consume it."""
    project = load_django_project(lambda: discover_subs_modules())  # looked up now: tests patch it
    return project.require_config(ignoring=NOT_SHOWN), list(project.subscriptions)
