"""``seek``: delivering the messages of a subscription again, or skipping them."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from rele.cli.confirming import is_confirmed
from rele.cli.noting import note_action
from rele.cli.output import printing
from rele.cli.subcommand import Options, Subcommand
from rele.cli.subscriptions import NOT_IN_THE_WAY
from rele.cli.table import age
from rele.config import Config
from rele.exceptions import ReleError
from rele.project.loading import Project
from rele.project.naming import check_path, existing_subscription, subscription_path
from rele.project.startup import say, say_project

if TYPE_CHECKING:
    from rele.resources.access import Access
    from rele.resources.seeking import Position

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)(?:\s*ago)?")

_FORMS = (
    "2026-11-26T14:00 (of this machine's time zone, unless it states another), 2h (so long ago), "
    "or now"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subscription", metavar="NAME", help="the subscription's id or full path")
    parser.add_argument(
        "--to",
        metavar="TIME|SNAPSHOT",
        help=f"where to: a time, such as {_FORMS}; or the name of a snapshot",
    )
    parser.add_argument(
        "--snapshot",
        metavar="NAME",
        nargs="?",
        const="",
        help="create a snapshot, with --to before the seek, so that it can be undone; by default "
        "its name is that of the subscription and the time",
    )
    parser.add_argument("--yes", action="store_true", help="do it without asking")


def run(options: Options) -> int:
    if options["to"] is None and options["snapshot"] is None:
        raise ReleError("Say where to seek to (--to), or make a snapshot (--snapshot).")
    now = datetime.now(timezone.utc)
    time = None if options["to"] is None else time_of(options["to"], now)
    project: Project = options["load_project"]()
    config = project.require_config(ignoring=NOT_IN_THE_WAY)
    from rele.project.access import access_to  # here, since it loads Google's client

    say_project(config)
    with access_to(config) as access:
        return _seek(access, options, config, time, now)


def time_of(text: str, now: datetime) -> datetime | None:
    """The time that ``text`` says; ``None`` if it is the name of a snapshot.

    Args:
        text: what was given; the name of a snapshot begins with a letter.
        now: the time that it is.

    Raises:
        ReleError: it begins like a time, and is none.
    """
    if text == "now":
        return now
    if not text[:1].isdigit():
        return None
    try:
        if match := _AGO.fullmatch(text.strip()):
            return now - timedelta(seconds=float(match[1]) * _UNITS[match[2]])
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:  # the calendar begins with the year 1
        raise ReleError(f"--to {text[:60]!r} is no time. Write one such as {_FORMS}.") from error


def _seek(
    access: Access, options: Options, config: Config, time: datetime | None, now: datetime
) -> int:
    path = subscription_path(options["subscription"], str(config.gc_project_id))
    subscription = existing_subscription(access.service, path)
    position = access.position(path)
    if options["to"] is None:
        _make_snapshot(position, path, options["snapshot"], now)
        return 0
    if time is not None:
        question = _to_time(subscription, time, now)
    else:
        snapshot = _existing_snapshot(position, path, options["to"])
        question = (
            f"Seek {path} to {snapshot}, so that what was acknowledged since the snapshot was made "
            "is delivered again"
        )
    if not is_confirmed(question, yes=options["yes"]):
        say("Nothing was changed.")
        return 1
    if options["snapshot"] is not None:
        _make_snapshot(position, path, options["snapshot"], now)
    if time is not None:
        position.seek_to_time(time)
        goal = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    else:
        position.seek_to_snapshot(snapshot)
        goal = snapshot
    note_action(config, path, f"Sought to {goal}.")
    say("Done. It takes Pub/Sub a moment until all of its servers know.")
    return 0


def _to_time(subscription: Any, time: datetime, now: datetime) -> str:
    path, seconds = subscription.name, (now - time).total_seconds()
    if seconds < 0:
        raise ReleError(f"{time:%Y-%m-%d %H:%M:%S} UTC is in the future: --to now skips all.")
    text = (
        f"Seek {path} to {time:%Y-%m-%d %H:%M:%S} UTC ({age(seconds)} ago), so that what was "
        "published before counts as acknowledged"
    )
    if subscription.retain_acked_messages or subscription.topic_message_retention_duration:
        return f"{text}, and what was published since is delivered again"
    return (
        f"{text} (nothing that was acknowledged is delivered again: neither the subscription nor "
        "its topic retains it)"
    )


def _existing_snapshot(position: Position, path: str, name: str) -> str:
    snapshot = _snapshot_path(name, path)
    if position.snapshot(snapshot) is None:
        raise ReleError(f"There is no snapshot {snapshot}. A time begins with a digit, or is now.")
    return snapshot


def _make_snapshot(position: Position, path: str, name: str, now: datetime) -> None:
    subscription = path.rpartition("/")[2]
    snapshot = _snapshot_path(name or f"{subscription}-{now:%Y%m%d-%H%M%S}", path)
    made = position.create_snapshot(snapshot)
    with printing() as show:
        show(snapshot)
    say(f"It is kept until {made.expire_time:%Y-%m-%d %H:%M} UTC.")


def _snapshot_path(name: str, subscription: str) -> str:
    project = subscription.split("/")[1]
    path = name if "/" in name else f"projects/{project}/snapshots/{name}"
    check_path(path, "snapshot")
    return path


SEEK = Subcommand(
    "seek",
    "Deliver the messages of a subscription again, or skip them; or keep where it is.",
    add_arguments,
    run,
)
