"""What is in the outbox, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rele.cli.style import Style
from rele.cli.table import age, aligned, block
from rele.contrib.outbox.contents import Contents
from rele.contrib.outbox.counting import COUNTED
from rele.contrib.outbox.models import OutboxMessage, State

SHOWN = 20
"""How many parked and how many delayed messages of a database are shown; JSON has all."""

NO_RELAY = "run `manage.py rele relay`, or `manage.py runrele --relay`."

_NUMBERS = frozenset({"Messages", "Oldest", "Lag", "Shards", "Sent", "Msg/s", "Seen"})

_FAILED = (State.PARKED.label, State.DELAYED.label)


def as_text(
    databases: Sequence[Contents], now: datetime, width: int, style: Style
) -> Iterator[str]:
    """The lines for people, no wider than ``width`` unless a name or a number is."""
    yield from _messages(databases, now, style)
    for contents in databases:
        yield from _unsent(contents, State.PARKED, now, width, style)
        yield from _unsent(contents, State.DELAYED, now, width, style)
    yield from _relays(databases, now, style)


def _messages(databases: Sequence[Contents], now: datetime, style: Style) -> Iterator[str]:
    rows = [
        (
            contents.alias,
            group.state.label,
            group.topic,
            f"{group.count:,}",
            age(_since(group.oldest, now)),
        )
        for contents in databases
        for count in contents.counts
        for group in count.groups
    ]
    if not rows:
        yield "The outbox is empty."
        return
    yield from _table(databases, ("State", "Topic", "Messages", "Oldest"), rows, style)
    for contents in databases:
        for count in contents.counts:
            if not count.is_complete:
                yield style.warning(
                    f"Only {COUNTED:,} {count.state.label} messages{_on(contents, databases)} "
                    f"are counted; there are {_more(count.estimate)}."
                )


def _more(estimate: int | None) -> str:
    return "more" if estimate is None else f"about {estimate:,}, as PostgreSQL estimates"


def _unsent(
    contents: Contents, state: State, now: datetime, width: int, style: Style
) -> Iterator[str]:
    """Why messages are parked or delayed."""
    messages = contents.parked if state == State.PARKED else contents.delayed
    for message in messages[:SHOWN]:
        yield ""
        yield from block(
            f"{message} ({state.label})",
            [
                ("Attempts", str(message.attempts)),
                ("Next attempt", _next_attempt(message, now)),
                ("Last error", message.last_error or "-"),
            ],
            width,
            style,
        )
    if (more := contents.number_of(state) - SHOWN) > 0:
        yield ""
        yield f"... and {more:,} more that are {state.label}: `--format json` has them."


def _next_attempt(message: OutboxMessage, now: datetime) -> str:
    if message.state == State.PARKED:
        return "none, unless it is retried (--retry)"
    seconds = (message.next_attempt_at - now).total_seconds()
    return f"in {age(seconds)}" if seconds > 0 else "now"


def _relays(databases: Sequence[Contents], now: datetime, style: Style) -> Iterator[str]:
    yield ""
    for contents in databases:
        where = _on(contents, databases)
        oldest = contents.oldest_waiting
        lag = "none" if oldest is None else f"{age(_since(oldest, now))} (the oldest waiting)"
        yield f"Lag{where}: {lag}. Throughput: {_rate(contents.rate)} messages/s."
    rows = [
        (
            contents.alias,
            relay.name,
            str(relay.shards),
            f"{relay.sent:,}",
            _rate(relay.rate),
            age(_since(relay.seen_at, now)),
        )
        for contents in databases
        for relay in contents.relays
    ]
    yield ""
    if rows:
        headings = ("Relay", "Shards", "Sent", "Msg/s", "Seen")
        yield from _table(databases, headings, rows, style)
    for contents in databases:
        if not contents.relays:
            yield style.warning(f"No relay is running{_on(contents, databases)}: {NO_RELAY}")


def _table(
    databases: Sequence[Contents],
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    style: Style,
) -> Iterator[str]:
    """Rows that begin with a database, which is shown where there are several."""
    table = [("Database", *headings), *rows]
    shown = table if len(databases) > 1 else [row[1:] for row in table]
    lines = aligned(shown, _NUMBERS, style)
    yield from lines[:2]
    for line, row in zip(lines[2:], rows, strict=True):
        yield style.warning(line) if row[1] in _FAILED else line


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.1f}"


def _on(contents: Contents, databases: Sequence[Contents]) -> str:
    return f" on {contents.alias!r}" if len(databases) > 1 else ""


def _since(moment: datetime, now: datetime) -> float:
    return max((now - moment).total_seconds(), 0.0)
