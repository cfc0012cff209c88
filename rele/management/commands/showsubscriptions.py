"""``manage.py showsubscriptions``: list what runrele would consume, or compare it with Pub/Sub."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele.cli.parser import say_wrong_use_in_one_line
from rele.cli.table import aligned
from rele.config import Config, read_settings
from rele.exceptions import ReleError
from rele.inspection import find_subscriptions, problems_of_settings
from rele.management.discover import discover_subs_modules
from rele.overview import describe, other_options
from rele.starting import raise_for_a_worker
from rele.subscription import Subscription

COLUMNS = {"topic": "Topic", "subscription": "Subscriber(s)", "sub": "Sub"}
VERBOSE_COLUMNS = {
    **COLUMNS,
    "filters": "Filters",
    "backend_filter": "Backend filter",
    "retry_policy": "Retry policy",
    "ack_deadline": "Ack deadline",
    "other_options": "Options",
}

AS_DECLARED = "Pub/Sub has everything as it is declared."


class Command(BaseCommand):
    help = (
        "List the subscriptions of the installed apps, sorted by topic; or compare them with those "
        "of Pub/Sub."
    )
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def add_arguments(self, parser: CommandParser) -> None:
        say_wrong_use_in_one_line(parser)
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--verbose",
            action="store_true",
            help="add filters, retry policy, ack deadline and all other options",
        )
        action.add_argument(
            "--diff",
            action="store_true",
            help="print what would have to be done for Pub/Sub to have them as declared, and exit "
            "with status 1 if there is anything",
        )
        action.add_argument(
            "--apply",
            action="store_true",
            help="do that, and exit with status 1 if anything cannot be changed",
        )
        parser.add_argument(
            "--format",
            choices=("table", "json"),
            default="table",
            help="table (the default; lines with --diff and --apply), or json, which has "
            "everything",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        run = self._list
        if options["diff"]:
            run = self._diff
        elif options["apply"]:
            run = self._apply
        try:
            status = run(*_find(), options)
        except ReleError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)

    def _list(self, config: Config, subs: list[Subscription], options: dict[str, Any]) -> int:
        rows = sorted((describe(sub, config) for sub in subs), key=lambda row: row["topic"])
        if options["format"] == "json":
            self._write_json(rows)
            return 0
        columns = VERBOSE_COLUMNS if options["verbose"] else COLUMNS
        rows = [{**row, "other_options": other_options(row) or None} for row in rows]
        cells = [[_text(row[key]) for key in columns] for row in rows]
        for line in aligned([list(columns.values()), *cells]):
            self.stdout.write(line)
        return 0

    def _diff(self, config: Config, subs: list[Subscription], options: dict[str, Any]) -> int:
        from rele.planning import compare

        comparison = compare(config, subs)
        changes = comparison.plan.changes
        if options["format"] == "json":
            self._write_json(
                {
                    "changes": [change.as_json() for change in changes],
                    "orphans": list(comparison.orphans),
                }
            )
        else:
            for change in changes:
                self._write_change(change.summary, change.advice)
            if not changes and not comparison.plan.refusals:
                self.stdout.write(AS_DECLARED)
            for path in comparison.orphans:
                self.stdout.write(f"orphan {path}: no sub declares it; Relé deletes nothing.")
        if comparison.complaint:
            self.stderr.write(comparison.complaint)
        comparison.plan.raise_refusals()
        return 1 if changes else 0

    def _apply(self, config: Config, subs: list[Subscription], options: dict[str, Any]) -> int:
        from rele.planning import bring_about

        told: list[Any] = []
        as_json = options["format"] == "json"

        def tell(change: Any) -> None:
            told.append(change)
            if not as_json:
                done = "" if change.carry_out is None else "Done: "
                self._write_change(f"{done}{change.summary}", change.advice)

        obstacles = bring_about(config, subs, tell).obstacles
        if as_json:
            done = [change.as_json() for change in told if change not in obstacles]
            self._write_json({"done": done, "left": [each.as_json() for each in obstacles]})
        elif not told:
            self.stdout.write(AS_DECLARED)
        return 1 if obstacles else 0

    def _write_change(self, summary: str, advice: str) -> None:
        self.stdout.write(summary)
        if advice:
            self.stdout.write(f"    {advice}")

    def _write_json(self, content: Any) -> None:
        self.stdout.write(json.dumps(content, indent=2))


def _find() -> tuple[Config, list[Subscription]]:
    """The configuration and what is declared, refused where a worker could not consume it."""
    setting = read_settings()
    raise_for_a_worker(problem for problem in problems_of_settings(setting) if problem.is_error)
    config = Config(setting)
    subs, problems = find_subscriptions(discover_subs_modules(), config)
    raise_for_a_worker(problems)
    return config, subs


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value is None else str(value)
