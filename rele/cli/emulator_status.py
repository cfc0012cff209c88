"""The report of a running Pub/Sub server, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rele.cli.style import PLAIN, Style
from rele.cli.table import age, block


def lines_of(report: Mapping[str, Any], width: int, style: Style = PLAIN) -> list[str]:
    """A block for each subscription, the topics without one, and the sums."""
    if not report["topics"] and not report["subscriptions"]:
        return [", ".join(["There are no topics and no subscriptions", *_damaged(report)]) + "."]
    lines: list[str] = []
    for subscription in sorted(report["subscriptions"], key=lambda each: _split(each["name"])):
        lines += [*_block_of(subscription, width, style), ""]
    if unused := sorted(_shown(t["name"]) for t in report["topics"] if not t["subscriptions"]):
        lines += [style.bold("Topics without a subscription"), *(f"  {name}" for name in unused)]
        lines.append("")
    return [*lines, _summary(report)]


def _block_of(subscription: Mapping[str, Any], width: int, style: Style) -> Iterator[str]:
    project, _ = _split(subscription["name"])
    topic_project, topic = _split(subscription["topic"])
    fields = [
        ("Topic", topic if topic_project in (project, "") else _shown(subscription["topic"])),
        ("Consumers", f"{subscription['consumers']:,}"),
        ("Waiting", f"{subscription['waiting']:,}"),
        ("Outstanding", f"{subscription['outstanding']:,}"),
        ("Oldest", age(subscription["oldest_seconds"])),
    ]
    return block(_shown(subscription["name"]), fields, width, style)


def _shown(name: str) -> str:
    project, own = _split(name)
    return f"{project}/{own}" if project else own


def _split(name: str) -> tuple[str, str]:
    """The project and the id of a resource; ``_deleted-topic_`` is in no project."""
    parts = name.split("/")
    return (parts[1], parts[3]) if len(parts) == 4 else ("", name)


def _summary(report: Mapping[str, Any]) -> str:
    subscriptions = report["subscriptions"]
    counts = [
        _number(len(report["topics"]), "topic"),
        _number(len(subscriptions), "subscription"),
        f"{sum(each['waiting'] for each in subscriptions):,} waiting",
        f"{sum(each['outstanding'] for each in subscriptions):,} outstanding",
        *_damaged(report),
    ]
    return ", ".join(counts)


def _damaged(report: Mapping[str, Any]) -> list[str]:
    """What of the server's data was damaged, if anything was."""
    damaged = report.get("damaged", 0)
    return [f"{damaged:,} damaged and set aside"] if damaged else []


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
