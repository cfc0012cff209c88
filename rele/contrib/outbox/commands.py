"""``manage.py rele relay`` and ``manage.py rele outbox``."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import QuerySet
from django.utils import timezone

from rele import config as configuration
from rele.cli.log import add_verbosity, log_to_stderr
from rele.cli.output import printing, saying_after_a_second, tolerant_output
from rele.cli.parser import MAX_DAYS, number_from
from rele.cli.progress import Progress
from rele.cli.style import style_of, terminal_width
from rele.cli.subcommand import Options
from rele.cli.worker_arguments import add_health_port
from rele.contrib.outbox import upcoming
from rele.contrib.outbox.conf import OUTBOX_SETTINGS, OutboxSettings
from rele.contrib.outbox.contents import as_json, contents_of, messages_of, parked_of
from rele.contrib.outbox.exceptions import OutboxError, explained_errors
from rele.contrib.outbox.figures import showing_figures
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.relay import BATCH_BYTES, BATCH_SIZE
from rele.contrib.outbox.relaying.relay_status import RelayProcessStatus
from rele.contrib.outbox.relaying.relays import Relays, make_relays
from rele.contrib.outbox.showing import as_text
from rele.contrib.outbox.upkeep import purge, retry
from rele.contrib.outbox.watching import INTERVAL, watch
from rele.management.databases import close_connections
from rele.project.probes import answering_probes
from rele.project.startup import say, say_project
from rele.runtime.stopping import StopRequest, StopRequestedError, catch_stop_signals
from rele.status.providers import STATUS

Write = Callable[[str], None]


def add_relay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--once",
        action="store_true",
        help="send the messages that are due now, then exit, as in a cron job",
    )
    add_batch_arguments(parser)
    add_health_port(parser)
    add_verbosity(parser, default=argparse.SUPPRESS)


def add_batch_arguments(parser: argparse.ArgumentParser, when: str = "") -> None:
    """How much a relay has outstanding, for each command that runs one.

    Args:
        parser: of the command.
        when: what the helps begin with.
    """
    parser.add_argument(
        "--batch-size",
        type=number_from(1, int, "whole number"),
        default=BATCH_SIZE,
        metavar="N",
        help=f"{when}how many messages of a topic to send at a time, at least 1 "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--batch-bytes",
        type=number_from(1, int, "whole number"),
        default=BATCH_BYTES,
        metavar="N",
        help=f"{when}how many bytes to send at a time, of all topics; a larger message is sent "
        "alone (default: %(default)s)",
    )


def relay(options: Options) -> int:
    log_to_stderr(options.get("verbosity"))
    with tolerant_output():
        return _run(options)


def _run(options: Options) -> int:
    config = configuration.current()
    aliases = OutboxSettings.in_config(config).aliases
    with saying_after_a_second("Waiting for Google credentials ..."):
        relays = make_relays(config, options["batch_size"], options["batch_bytes"])
    if OutboxSettings.in_config(config).backend == OUTBOX_SETTINGS["BACKEND"].default:
        say_project(config)
    with _stopped_by_signals(relays) as stop, _shown(relays, stop, aliases) as status:
        with answering_probes(options, say):
            return _run_until_stopped(relays, stop, status, aliases, is_once=options["once"])


def _run_until_stopped(
    relays: Relays,
    stop: StopRequest,
    status: RelayProcessStatus,
    aliases: Sequence[str],
    *,
    is_once: bool,
) -> int:
    try:
        with saying_after_a_second(_waiting_for(aliases)):
            stop.run_unless_stopped(partial(_await_databases, aliases))
            relays.begin()
    except StopRequestedError:
        say("The relay was stopped before it had started.")
        return 0
    status.has_begun = True
    if is_once:
        return _relay_once(relays, aliases)
    say("Relaying the outbox. Press Ctrl-C to stop.")
    relays.run()
    return 0


@contextmanager
def _shown(
    relays: Relays, stop: StopRequest, aliases: Sequence[str]
) -> Iterator[RelayProcessStatus]:
    """Within the block, the status of this process has what the relays do, and what waits."""
    status = RelayProcessStatus(relays, lambda: stop.is_requested)
    forget = STATUS.add(status)
    try:
        with showing_figures(aliases):
            yield status
    finally:
        forget()


def _await_databases(aliases: Sequence[str]) -> None:
    """Connect to each database once: a connection attempt may take minutes, which a signal ends.

    Raises:
        OutboxError: one of them refuses.
    """
    try:
        for alias in aliases:
            with explained_errors(alias):
                connections[alias].ensure_connection()
    finally:
        close_connections()  # this thread's; the relays connect in their own


def _waiting_for(aliases: Sequence[str]) -> str:
    return f"Waiting for the database {' and '.join(map(repr, aliases))} ..."


@contextmanager
def _stopped_by_signals(relays: Relays) -> Iterator[StopRequest]:
    """Let signals stop the relays; outside of the main thread Python does not allow it.

    A second signal, a second or more after the first, ends the process at once.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(*_: Any) -> None:
        stop.request_by_signal()
        relays.stop()

    undo = catch_stop_signals(handle)
    try:
        yield stop
    finally:
        # Once a signal has come, the process ends, and further ones must not change its status.
        if stop.is_requested:
            stop.allow_to_end()
        else:
            undo()


def _relay_once(relays: Relays, aliases: Sequence[str]) -> int:
    with saying_after_a_second("Sending the waiting messages ..."):
        tally = relays.run_once()
    print(f"{tally.sent} message(s) sent.")
    if tally.failed:
        print(f"{tally.failed} attempt(s) failed: see `manage.py rele outbox` and the log.")
    for alias in aliases:
        with explained_errors(alias):
            _name_the_parked(alias)
    return 1 if tally.parked else 0


def _name_the_parked(alias: str) -> None:
    parked = parked_of(messages_of(alias))
    if count := parked.count():
        print(f"{count} message(s) are parked; `manage.py rele outbox --retry` retries them:")
        for message in parked.iterator():
            print(f"  {message}, {message.attempts} attempt(s): {message.last_error}")


def add_outbox_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--retry",
        action="store_true",
        help="let a relay send the parked and the delayed messages as if they were new",
    )
    action.add_argument(
        "--purge", action="store_true", help="delete the sent messages that were kept by KEEP_SENT"
    )
    action.add_argument(
        "--scheduled",
        action="store_true",
        help="list the messages that are to be sent later, with their event ids",
    )
    action.add_argument(
        "--watch",
        action="store_true",
        help=f"show it again every {INTERVAL:.0f} s, until Ctrl-C",
    )
    parser.add_argument("--topic", help="only messages of this topic")
    parser.add_argument(
        "--older-than",
        type=number_from(0, float, "number of days", MAX_DAYS),
        metavar="DAYS",
        help="with --purge: only messages that were sent more than DAYS days ago, or with --parked"
        " were to be tried last; 0 for all",
    )
    parser.add_argument(
        "--parked",
        action="store_true",
        help="with --purge: delete parked messages instead of sent ones",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="the output's format (default: table)",
    )


def show_or_change(options: Options) -> int:
    aliases = OutboxSettings.in_config(configuration.current()).aliases
    act = next((_ACTIONS[name] for name in _ACTIONS if options[name]), _show)
    with printing() as write:
        act(aliases, options, write)
    return 0


def _retry(aliases: Sequence[str], options: Options, write: Write) -> None:
    count = 0
    with saying_after_a_second(_waiting_for(aliases)):
        for alias in aliases:
            with explained_errors(alias):
                count += retry(messages_of(alias, options["topic"]))
    write(f"{count} message(s) will be retried now.")


def _purge(aliases: Sequence[str], options: Options, write: Write) -> None:
    if options["older_than"] is None:
        raise OutboxError("--purge needs --older-than DAYS, such as 7, or 0 for all.")
    state = State.PARKED if options["parked"] else State.SENT
    before = timezone.now() - timedelta(days=options["older_than"])
    deleted = 0
    for alias in aliases:
        with explained_errors(alias):
            messages = messages_of(alias, options["topic"])
            # What was scheduled, or could not be sent for long, is older than its last attempt.
            old = messages.filter(state=state, next_attempt_at__lte=before)
            for number in _purged(alias, old.exclude(sent_at__gt=before)):
                deleted += number
    write(f"{deleted} {state.label} message(s) deleted.")


def _purged(alias: str, old: QuerySet[OutboxMessage]) -> Iterator[int]:
    """Delete them, and show a progress bar; yield the number of each chunk."""
    with saying_after_a_second(_waiting_for([alias])):
        total = old.count()
    with Progress(total, f"deleted from {alias}", has_lines=False) as progress:
        for number in purge(old):
            progress.add(number)
            yield number


def _show_scheduled(aliases: Sequence[str], options: Options, write: Write) -> None:
    with saying_after_a_second(_waiting_for(aliases)):
        databases = [upcoming.upcoming_of(alias, options["topic"]) for alias in aliases]
    if options["format"] == "json":
        write(json.dumps(upcoming.as_json(databases), indent=2))
        return
    for line in upcoming.as_text(databases, style_of(sys.stdout)):
        write(line)


def _show(aliases: Sequence[str], options: Options, write: Write) -> None:
    with saying_after_a_second(_waiting_for(aliases)):
        databases = [contents_of(alias, options["topic"]) for alias in aliases]
    now = timezone.now()
    if options["format"] == "json":
        write(json.dumps(as_json(databases, now), indent=2))
        return
    for line in as_text(databases, now, terminal_width(), style_of(sys.stdout)):
        write(line)


def _watch(aliases: Sequence[str], options: Options, _write: Write) -> None:
    if options["format"] == "json":
        raise OutboxError("--watch is for people: with --format json, run the command again.")
    seen = False

    def frame() -> Iterable[str]:
        nonlocal seen
        style = style_of(sys.stdout)
        now = timezone.now()
        yield style.dim(f"{now.astimezone():%Y-%m-%d %H:%M:%S}, Ctrl-C ends it")
        try:
            databases = [contents_of(alias, options["topic"]) for alias in aliases]
            yield from as_text(databases, now, terminal_width(), style)
            seen = True
        except OutboxError as error:
            if not seen:
                raise
            yield style.warning(str(error))  # a restart of the database does not end it
        finally:
            close_connections()

    watch(frame, sys.stdout, time.sleep)


_ACTIONS = {"retry": _retry, "purge": _purge, "scheduled": _show_scheduled, "watch": _watch}
"""What each option makes of the command, which else shows what is in the outbox."""
