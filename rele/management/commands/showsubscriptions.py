"""``manage.py showsubscriptions``: list what runrele would consume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele.config import Config, load, load_subscriptions_from_paths
from rele.exceptions import ReleError
from rele.management.discover import discover_subs_modules
from rele.subscription import Subscription

COLUMNS = {"topic": "Topic", "subscription": "Subscriber(s)", "sub": "Sub"}
VERBOSE_COLUMNS = {
    **COLUMNS,
    "filters": "Filters",
    "backend_filter": "Backend filter",
    "retry_policy": "Retry policy",
    "ack_deadline": "Ack deadline",
}


class Command(BaseCommand):
    help = "List the subscriptions of the installed apps, sorted by topic."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--verbose", action="store_true", help="add filters, retry policy and ack deadline"
        )
        parser.add_argument(
            "--format",
            choices=("table", "json"),
            default="table",
            help="table (the default), or json, which has every column",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = load()
            subs = load_subscriptions_from_paths(
                discover_subs_modules(), config.sub_prefix, config.filter_by
            )
        except (ReleError, RuntimeError) as error:
            raise CommandError(str(error)) from error
        rows = sorted((_describe(sub, config) for sub in subs), key=lambda row: row["topic"])
        if options["format"] == "json":
            self.stdout.write(json.dumps(rows, indent=2))
            return
        columns = VERBOSE_COLUMNS if options["verbose"] else COLUMNS
        cells = [[_text(row[key]) for key in columns] for row in rows]
        for line in _table([list(columns.values()), *cells]):
            self.stdout.write(line)


def _describe(sub: Subscription, config: Config) -> dict[str, Any]:
    policy = sub.retry_policy or config.retry_policy
    return {
        "topic": sub.topic,
        "subscription": sub.name,
        "sub": sub.path,
        "filters": [
            getattr(function, "__qualname__", repr(function)) for function in sub.filter_by
        ],
        "backend_filter": sub.backend_filter_by,
        "retry_policy": policy and f"{policy.minimum_backoff}-{policy.maximum_backoff} s",
        "ack_deadline": config.ack_deadline,
    }


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value is None else str(value)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines of aligned columns, with a rule below the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines
