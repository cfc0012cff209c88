"""``tail``: showing messages as they are published, without taking them from a worker."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from rele.cli import stop_signals
from rele.cli.letters_shown import printable
from rele.cli.output import printing
from rele.cli.parser import number_from
from rele.cli.style import Style, style_of
from rele.cli.subcommand import Options, Subcommand
from rele.cli.subscriptions import NOT_IN_THE_WAY
from rele.exceptions import ReleError
from rele.project.loading import Project
from rele.project.naming import existing_subscription, existing_topic, subscription_path
from rele.project.startup import say, say_project

if TYPE_CHECKING:
    from rele.resources.access import Access
    from rele.resources.waiting_messages import WaitingMessages

_ESCAPES = re.compile(r"(?P<letters>(?:\\u[0-9a-fA-F]{4})+)|\\.")
"""The escapes of a text in JSON; ``\\\\u0041`` is a backslash and no letter."""

_AT_A_TIME = 100
_LONGEST_PULL = 30.0
"""Seconds, after which it asks Pub/Sub again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "topic",
        metavar="TOPIC",
        nargs="?",
        help="the topic's id or full path: show what is published to it from now on",
    )
    parser.add_argument(
        "--subscription",
        metavar="NAME",
        help="instead of TOPIC: show what waits in this subscription, and what it gets from now "
        "on; its messages are left to its workers",
    )
    parser.add_argument(
        "--max",
        dest="most",
        type=number_from(1, int, "whole number"),
        metavar="N",
        help="end after N messages",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text, for people (the default), or a line of JSON for each message",
    )


def run(options: Options) -> int:
    if (options["topic"] is None) == (options["subscription"] is None):
        raise ReleError("Name a topic, or a subscription with --subscription.")
    project: Project = options["load_project"]()
    config = project.require_config(ignoring=NOT_IN_THE_WAY)
    from rele.project.access import access_to  # here, since it loads Google's client

    say_project(config)
    with access_to(config) as access, stop_signals.raised():
        try:
            with _source(access, options, str(config.gc_project_id)) as messages:
                line_of = _writer(options["format"])
                _show(messages, options["most"], line_of, partial(_check, access, messages.path))
        except KeyboardInterrupt:
            say("The temporary subscription is deleted.")
    return 0


@contextmanager
def _source(access: Access, options: Options, project: str) -> Iterator[WaitingMessages]:
    from rele.resources.deleted_topics import DELETED_TOPIC  # here, since it loads Google's client

    if options["topic"] is not None:
        topic = existing_topic(access.service, options["topic"], project)
        original = None
        what = f"what is published to {topic}"
    else:
        path = subscription_path(options["subscription"], project)
        original = existing_subscription(access.service, path)
        topic = original.topic
        if topic == DELETED_TOPIC:
            raise ReleError(f"The topic of {path} is deleted, so that no copy can be made of it.")
        what = f"what {path} has"
    with access.copy(topic, original) as messages:
        say(f"Showing {what}, by a temporary subscription. Press Ctrl-C to stop.")
        yield messages


def _check(access: Access, path: str) -> None:
    """Raise an error if nothing more can be published to the subscription at ``path``."""
    from rele.resources.deleted_topics import DELETED_TOPIC  # here, since it loads Google's client

    if existing_subscription(access.service, path).topic == DELETED_TOPIC:
        raise ReleError("The topic was deleted: nothing more is published to it.")


def _show(
    messages: WaitingMessages,
    most: int | None,
    line_of: Callable[[Any], str],
    check: Callable[[], None],
) -> None:
    """Show messages until a KeyboardInterrupt, or until there were ``most`` of them.

    Whenever none has come for long, ``check``.
    """
    shown = 0
    while most is None or shown < most:
        room = _AT_A_TIME if most is None else min(most - shown, _AT_A_TIME)
        received = messages.pull(room, _LONGEST_PULL)
        if not received:
            check()
        with printing() as show:
            for each in received:
                show(line_of(each.message))
        messages.ack([each.ack_id for each in received])
        shown += len(received)


def _writer(form: str) -> Callable[[Any], str]:
    if form == "json":
        return as_json
    style = style_of(sys.stdout)
    return lambda message: as_text(message, style)


def as_text(message: Any, style: Style) -> str:
    """A line for people: when it was published (UTC), its id, ordering key, data and attributes.

    Args:
        message: Google's PubsubMessage.
        style: of the terminal.
    """
    published = message.publish_time.astimezone(timezone.utc)
    parts = [style.dim(f"{published:%H:%M:%S}.{published.microsecond // 1000:03}")]
    parts.append(style.dim(message.message_id))
    if message.ordering_key:
        parts.append(style.bold(printable(message.ordering_key)))
    parts.append(printable(_readable(_text(message.data))))
    parts += [
        f"{style.dim(printable(key) + '=')}{printable(value)}"
        for key, value in sorted(message.attributes.items())
    ]
    return "  ".join(parts)


def as_json(message: Any) -> str:
    """One line of JSON; ``data`` is text, and where it is no UTF-8 its representation in Python."""
    return json.dumps(
        {
            "message_id": message.message_id,
            "publish_time": message.publish_time.astimezone(timezone.utc).isoformat(),
            "ordering_key": message.ordering_key,
            "data": _text(message.data),
            "attributes": dict(message.attributes),
        },
        ensure_ascii=False,
    )


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return repr(data)


def _readable(text: str) -> str:
    """JSON whose escapes are letters where that is possible; other text as it is."""
    if "\\u" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _ESCAPES.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    if not found["letters"]:
        return found[0]
    letters: str = json.loads(f'"{found[0]}"')
    is_plain = letters.isprintable() and not {'"', "\\"} & set(letters)
    return letters if is_plain else found[0]


TAIL = Subcommand(
    "tail",
    "Show messages as they are published, or those of a subscription, without consuming them.",
    add_arguments,
    run,
)
