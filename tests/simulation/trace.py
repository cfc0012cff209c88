"""What happened in a simulation, in lines of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.support.history import Event

if TYPE_CHECKING:
    from tests.simulation.scenario import Scenario
    from tests.simulation.world import Result

WIDTH = 80

_TEXTS = {
    "accepted": "{message} is published",
    "delivered": "{message} is leased to {worker}",
    "freed": "the lease of {message} ends: {detail}",
    "extended": "the lease of {message} is extended by {detail} s",
    "delayed": "{message} is delayed by {detail} s",
    "acked": "{message} is acked",
    "dead_lettered": "{message} is forwarded to the dead-letter topic",
    "forgotten": "{message} is lost with the server's disk",
    "received": "receives {message}",
    "begun": "begins {message}",
    "handled": "has handled {message}",
    "failed": "fails at {message} (attempt {detail})",
    "sent": "sends that {message} is settled: {detail}",
    "skipped": "does not begin {message}",
    "abandoned": "abandons {message}",
    "lease_lost": "has lost {message}: {detail}",
    "started": "starts",
    "opened": "opens a stream with a limit of {detail}",
    "stream_ended": "a stream has ended: {detail}",
    "suspended": "is suspended for {detail:.1f} s",
    "stopping": "is asked to stop until {detail:.3f} s",
    "ended": "has ended",
}
_SERVER = {
    "accepted",
    "delivered",
    "freed",
    "extended",
    "delayed",
    "acked",
    "dead_lettered",
    "forgotten",
}


def lines_of(result: Result, *, message: int | None, worker: str | None) -> Iterator[str]:
    """The scenario, what happened, and how rules were broken."""
    yield from _head(result.scenario)
    for event in result.history.events:
        about = event.kind == "fault" or (
            message in (None, event.message) and worker in (None, event.worker)
        )
        if about and (line := _line(event, result.history.keys)):
            yield line
    yield ""
    yield from textwrap.wrap(f"{result.seconds:.1f} s of virtual time.", WIDTH)
    for text in result.broken or ["Every rule holds."]:
        yield from textwrap.wrap(text, WIDTH, subsequent_indent="    ")


def _head(scenario: Scenario) -> Iterator[str]:
    low, high = scenario.latency
    yield f"{len(scenario.messages)} messages, {scenario.workers} worker(s)"
    yield f"latency {1000 * low:g} to {1000 * high:g} ms, calm from {scenario.calm_at:.1f} s on"
    texts = (str(scenario.options), str(scenario.server))
    for text in texts:
        yield from textwrap.wrap(text, WIDTH, subsequent_indent="    ")
    for published in scenario.messages:
        if published.behaviour.kind != "works":
            text = f"{_name(published.number, published.key)}: {published.behaviour}"
            yield from textwrap.wrap(text, WIDTH, subsequent_indent="    ")
    yield ""


def _line(event: Event, keys: object) -> str | None:
    time = f"{event.at:10.3f} s  "
    if event.kind == "fault":
        return f"{time}{'fault':8}{event.worker}"[:WIDTH]
    if (text := _TEXTS.get(event.kind)) is None:
        return None
    key = keys.get(event.message, "") if isinstance(keys, dict) else ""
    text = text.format(message=_name(event.message, key), worker=event.worker, detail=event.detail)
    who = "server" if event.kind in _SERVER else event.worker
    return f"{time}{who:8}{text}"[:WIDTH]


def _name(message: int | None, key: str) -> str:
    return f"message {message} ({key})" if key else f"message {message}"
