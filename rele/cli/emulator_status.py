"""The report of a running Pub/Sub server, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rele.cli.table import age, aligned

_HEADINGS = ("Project", "Topic", "Subscription", "Consumers", "Waiting", "Outstanding", "Oldest")

_NUMBERS = frozenset({"Consumers", "Waiting", "Outstanding", "Oldest"})


def table_of(report: Mapping[str, Any]) -> list[str]:
    """The lines of a table: a row for each subscription, and each topic that has none."""
    rows = sorted(_rows(report))
    if not rows:
        return ["There are no topics and no subscriptions."]
    return [*aligned([_HEADINGS, *rows], _NUMBERS), "", _summary(report)]


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
