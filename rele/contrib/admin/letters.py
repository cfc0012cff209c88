"""Dead letters for the page: grouped by error and handler, and replayed by group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from rele.config import Config
from rele.contrib.admin.wording import age, number, plural
from rele.deadletters.box import opened
from rele.deadletters.choice import Choice
from rele.deadletters.letter import Group, grouped
from rele.deadletters.outcome import Outcome
from rele.deadletters.replaying import Replay, Topics

MOST = 1_000
"""How many letters a page looks at, and replays, at a time."""

QUIET = 1.5
"""Seconds without a further letter after which all are taken to be known."""

Fault = tuple[str, str, str]
"""The class of an error, its text without what varies, and the dotted path of the handler."""


@dataclass(frozen=True)
class LetterGroup:
    """The dead letters of one fault, in words."""

    key: str
    """Names the fault in a form."""
    error: str
    handler: str
    count: str
    oldest: str
    attempts: str


@dataclass(frozen=True)
class Found:
    """The dead letters of a subscription."""

    groups: tuple[LetterGroup, ...]
    count: int
    has_more: bool


def look(config: Config, name: str) -> Found:
    """The dead letters of the subscription ``name``, which nobody else gets for some seconds.

    Raises:
        ReleError: they cannot be read.
    """
    with opened(config, name, quiet=QUIET) as found:
        collected = found.box.collect(most=MOST, keeps_data=False)
    now = datetime.now(timezone.utc)
    groups = tuple(_in_words(group, now) for group in grouped(collected.letters))
    return Found(groups, len(collected.letters), collected.has_more)


def replay(config: Config, name: str, fault: Fault) -> Outcome:
    """Publish the dead letters of one fault to the topics that they were published to first.

    Args:
        config: the project's configuration.
        name: of the subscription that they come from.
        fault: which are meant.

    Raises:
        ReleError: they cannot be read.
    """
    error_type, _, handler = fault
    with opened(config, name, quiet=QUIET) as found:
        collected = found.box.collect(Choice(error=error_type, handler=handler), most=MOST)
        letters = [letter for letter in collected.letters if letter.fault == fault]
        topics = Topics(found.access.service.subscription, found.box.place.source)
        return Replay(found.box, found.access.republisher, topics).run(letters)


def in_words(outcome: Outcome) -> Iterator[str]:
    """What became of the letters, a sentence each."""
    yield f"{plural(outcome.done, 'dead letter')} replayed."
    for reason, count in outcome.failures.most_common():
        yield f"{number(count)} not replayed: {reason}."
    if outcome.unconfirmed:
        yield (
            f"{number(outcome.unconfirmed)} replayed, but perhaps still dead letters: their ack "
            "was not confirmed."
        )
    if outcome.left:
        yield f"{number(outcome.left)} left as they were."
    if outcome.error is not None:
        yield str(outcome.error)


def fault_of(key: str) -> Fault | None:
    """The fault that a form names; ``None`` if it names none."""
    try:
        fault = json.loads(key)
    except (ValueError, RecursionError):
        return None
    if isinstance(fault, list) and len(fault) == 3 and all(isinstance(each, str) for each in fault):
        return fault[0], fault[1], fault[2]
    return None


def fault_in_words(fault: Fault) -> str:
    """The error and the handler of a fault."""
    error_type, text, handler = fault
    error = ": ".join(filter(None, (error_type, text))) or "of an error that is not known"
    return f"{error} ({handler})" if handler else error


def _in_words(group: Group, now: datetime) -> LetterGroup:
    oldest = group.oldest
    attempts = max((letter.attempts or 0 for letter in group.letters), default=0)
    return LetterGroup(
        json.dumps(oldest.fault),
        oldest.error_or_reason,
        oldest.handler or "",
        number(len(group.letters)),
        age(max((now - oldest.dead_since).total_seconds(), 0)),
        number(attempts) if attempts else "-",
    )
