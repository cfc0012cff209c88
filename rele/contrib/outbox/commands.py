"""``manage.py rele relay`` and ``manage.py rele outbox``."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import Error as AnyDatabaseError
from django.db.models import QuerySet
from django.utils import timezone

from rele import publishing
from rele.cli.parser import MAX_DAYS, number_from
from rele.cli.subcommand import Options, Subcommand
from rele.cli.table import age, aligned
from rele.contrib.outbox.conf import OUTBOX_SETTINGS, OutboxSettings
from rele.contrib.outbox.exceptions import OutboxError
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.presence import present_relays
from rele.contrib.outbox.relay import BATCH_SIZE, OutboxRelay, make_relay
from rele.contrib.outbox.upkeep import Group, groups, purge, retry
from rele.project.startup import say_project


def _add_relay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--once", action="store_true", help="send what is due now, and exit: for a cron job"
    )
    parser.add_argument(
        "--batch-size",
        type=number_from(1, int, "whole number"),
        default=BATCH_SIZE,
        metavar="N",
        help="how many messages are claimed at a time, at least 1 (default: %(default)s)",
    )


def _relay(options: Options) -> int:
    config = publishing.configure()
    relay = make_relay(config, options["batch_size"])
    if OutboxSettings.of(config.outbox).backend == OUTBOX_SETTINGS["BACKEND"].default:
        say_project(config)
    with _stopped_by_signals(relay):
        return _run(relay, once=options["once"])


@contextmanager
def _stopped_by_signals(relay: OutboxRelay) -> Iterator[None]:
    """Where Python lets anybody handle signals, which it does in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        signum: signal.signal(signum, lambda *_: relay.stop())
        for signum in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _run(relay: OutboxRelay, *, once: bool) -> int:
    if once:
        sent, failed = relay.run_once()
        print(f"{sent} message(s) sent.")
        if failed:
            print(f"{failed} attempt(s) failed: see `manage.py rele outbox` and the log.")
        return 0
    relay.begin()
    print("Relaying the outbox. Press Ctrl-C to stop.", flush=True)
    relay.run()
    return 0


def _add_outbox_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--retry", action="store_true", help="send parked messages again, as if they were new"
    )
    action.add_argument(
        "--purge", action="store_true", help="delete the sent messages that KEEP_SENT has kept"
    )
    parser.add_argument("--topic", help="only messages of this topic")
    parser.add_argument(
        "--older-than",
        type=number_from(0, float, "number of days", MAX_DAYS),
        metavar="DAYS",
        help="with --purge: only messages written more than DAYS days ago; 0 for all",
    )
    parser.add_argument(
        "--parked", action="store_true", help="with --purge: parked messages instead of sent ones"
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="the format of the counts (default: table)",
    )


def _outbox(options: Options) -> int:
    alias = OutboxSettings.of(publishing.configure().outbox).alias
    messages = OutboxMessage.objects.using(alias)
    if options["topic"]:
        messages = messages.filter(topic=options["topic"])
    try:
        if options["retry"]:
            count = retry(messages.filter(state=State.PARKED))
            print(f"{count} message(s) are tried again.")
        elif options["purge"]:
            _purge(messages, options)
        else:
            _show(alias, messages, as_json=options["format"] == "json")
    except AnyDatabaseError as error:
        raise OutboxError.of(error, alias) from error
    return 0


def _purge(messages: QuerySet[OutboxMessage], options: Options) -> None:
    if options["older_than"] is None:
        raise OutboxError("--purge needs --older-than DAYS, such as 7, or 0 for all.")
    from tqdm import tqdm  # of the extra `django`: only this needs it

    before = timezone.now() - timedelta(days=options["older_than"])
    state = State.PARKED if options["parked"] else State.SENT
    old = messages.filter(state=state, created_at__lte=before)
    deleted = 0
    with tqdm(total=old.count(), unit=" messages", disable=None) as progress:
        for number in purge(old):
            progress.update(number)
            deleted += number
    print(f"{deleted} {state.label} message(s) deleted.")


def _show(alias: str, messages: QuerySet[OutboxMessage], *, as_json: bool) -> None:
    found, relays, now = groups(messages), present_relays(alias), timezone.now()
    if as_json:
        rows = [
            {
                "state": group.state.label,
                "topic": group.topic,
                "messages": group.count,
                "oldest_seconds": (now - group.oldest).total_seconds(),
            }
            for group in found
        ]
        print(json.dumps({"messages": rows, "relays": relays}, indent=2))
        return
    for line in _table(found, now):
        print(line)
    print()
    print(f"Relays at work: {', '.join(relays)}" if relays else NO_RELAY)


def _table(found: list[Group], now: datetime) -> list[str]:
    if not found:
        return ["The outbox is empty."]
    rows = [
        (
            group.state.label,
            group.topic,
            f"{group.count:,}",
            age((now - group.oldest).total_seconds()),
        )
        for group in found
    ]
    return aligned([("State", "Topic", "Messages", "Oldest"), *rows], _NUMBERS)


NO_RELAY = "No relay is at work: run `manage.py rele relay`, or `manage.py runrele --relay`."

_NUMBERS = frozenset({"Messages", "Oldest"})

RELAY = Subcommand(
    "relay", "Send the messages that wait in the outbox.", _add_relay_arguments, _relay
)

OUTBOX = Subcommand(
    "outbox",
    "Show how many messages the outbox has, retry the parked ones, or delete old ones.",
    _add_outbox_arguments,
    _outbox,
)

COMMANDS = (RELAY, OUTBOX)
