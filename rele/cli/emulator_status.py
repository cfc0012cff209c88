"""The report of a running Pub/Sub server, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_HEADINGS = ("Project", "Topic", "Subscription", "Consumers", "Waiting", "Outstanding", "Oldest")

_NUMBERS = frozenset({"Consumers", "Waiting", "Outstanding", "Oldest"})

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def table_of(report: Mapping[str, Any]) -> list[str]:
    """The lines of a table: a row for each subscription, and each topic that has none."""
    rows = sorted(_rows(report))
    if not rows:
        return ["There are no topics and no subscriptions."]
    return [*_aligned([_HEADINGS, *rows]), "", _summary(report)]


def age(seconds: float | None) -> str:
    """An age in its largest unit: ``0.4 s``, ``12 s``, ``3 min``, ``5 h``, ``2 d``, or ``-``."""
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if seconds >= (10 if unit == "s" else size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for topic in report["topics"]:
        if not topic["subscriptions"]:
            project, name = _split(topic["name"])
            yield (project, name, "-", "-", "-", "-", "-")
    for subscription in report["subscriptions"]:
        project, name = _split(subscription["name"])
        topic_project, topic_name = _split(subscription["topic"])
        yield (
            project,
            topic_name if topic_project in (project, "") else f"{topic_project}/{topic_name}",
            name,
            f"{subscription['consumers']:,}",
            f"{subscription['waiting']:,}",
            f"{subscription['outstanding']:,}",
            age(subscription["oldest_seconds"]),
        )


def _split(name: str) -> tuple[str, str]:
    """The project and the id of a resource; ``_deleted-topic_`` is in no project."""
    parts = name.split("/")
    return (parts[1], parts[3]) if len(parts) == 4 else ("", name)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
            for cell, width, heading in zip(row, widths, _HEADINGS, strict=True)
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def _summary(report: Mapping[str, Any]) -> str:
    subscriptions = report["subscriptions"]
    counts = (
        _number(len(report["topics"]), "topic"),
        _number(len(subscriptions), "subscription"),
        f"{sum(each['waiting'] for each in subscriptions):,} waiting",
        f"{sum(each['outstanding'] for each in subscriptions):,} outstanding",
    )
    return ", ".join(counts)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
