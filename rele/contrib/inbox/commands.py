"""``manage.py rele inbox``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import timedelta

from django.db import connections, router
from django.db.models import Count, Min
from django.utils import timezone

from rele.cli.output import printing
from rele.cli.parser import MAX_DAYS, number_from
from rele.cli.progress import Progress
from rele.cli.subcommand import Options
from rele.contrib.inbox.exceptions import explained_errors
from rele.contrib.inbox.models import InboxMessage
from rele.contrib.inbox.purging import delete_in_chunks, handled_before
from rele.exceptions import ReleError

RETENTION_DAYS = 7
"""Pub/Sub keeps an unacknowledged message for so many days by default."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--purge",
        action="store_true",
        help="delete the records of messages that were handled more than DAYS days ago",
    )
    parser.add_argument(
        "--older-than",
        type=number_from(0, int, "whole number of days", MAX_DAYS),
        default=RETENTION_DAYS,
        metavar="DAYS",
        help=f"with --purge: the least age in days (default: %(default)s; less than "
        f"{RETENTION_DAYS} needs --force)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="with --purge: delete records even of messages that Pub/Sub may redeliver; such a "
        "message is then handled again",
    )
    parser.add_argument(
        "--database",
        choices=tuple(connections),
        default=router.db_for_write(InboxMessage),
        help="the inbox's database, as in @idempotent(using=...) (default: by the routers)",
    )


def show_or_purge(options: Options) -> int:
    with printing() as show, explained_errors(options["database"]):
        if options["purge"]:
            show(_purge(options["database"], options["older_than"], is_forced=options["force"]))
        else:
            for line in _table(options["database"]):
                show(line)
    return 0


def _purge(alias: str, days: int, *, is_forced: bool) -> str:
    if days < RETENTION_DAYS and not is_forced:
        raise ReleError(
            f"Pub/Sub keeps messages for {RETENTION_DAYS} days unless a subscription says "
            "otherwise. If it redelivers one whose record was deleted, that is handled again. "
            "Add --force to delete them nevertheless."
        )
    messages = handled_before(alias, timezone.now() - timedelta(days=days))
    deleted = 0
    with Progress(messages.count(), "deleted", has_lines=False) as progress:
        for number in delete_in_chunks(messages):
            progress.add(number)
            deleted += number
    return f"{deleted} message(s) deleted."


def _table(alias: str) -> Iterator[str]:
    """How many messages each subscription has, and when it handled the oldest of them."""
    rows = (
        InboxMessage.objects.using(alias)
        .values_list("subscription")
        .annotate(number=Count("id"), oldest=Min("handled_at"))
        .order_by("subscription")
    )
    cells = [("Subscription", "Messages", "Oldest")] + [
        (subscription, str(number), f"{oldest:%Y-%m-%d %H:%M:%S%z}")
        for subscription, number, oldest in rows
    ]
    if len(cells) == 1:
        yield "The inbox is empty."
        return
    width, number_width = (max(len(row[column]) for row in cells) for column in (0, 1))
    for subscription, number, oldest in cells:
        yield f"{subscription:<{width}}  {number:>{number_width}}  {oldest}"
