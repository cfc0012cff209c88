"""A snapshot as JSON, which travels from a worker to its supervisor and to whoever asks."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from enum import Enum
from typing import Any, TypeVar

from rele.status.snapshot import (
    Backlog,
    Complaint,
    Figure,
    Phase,
    Probe,
    Snapshot,
    SubscriptionStatus,
)


def as_data(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as dicts, lists and plain values."""
    data: dict[str, Any] = asdict(snapshot, dict_factory=_plain)
    return data


def to_json(snapshot: Snapshot) -> str:
    """The snapshot in one line."""
    return json.dumps(as_data(snapshot), default=str)


def from_json(text: str) -> Snapshot:
    """The snapshot of which :func:`to_json` has made ``text``.

    Fields that this version does not know are left out.

    Raises:
        ValueError: ``text`` is something else.
    """
    try:
        return _snapshot(json.loads(text))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"This is no snapshot: {text[:200]}") from error


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}


def _snapshot(data: dict[str, Any]) -> Snapshot:
    phase = data["phase"]
    values = {
        **data,
        "phase": None if phase is None else Phase(phase),
        "subscriptions": tuple(map(_subscription, data["subscriptions"])),
        "figures": tuple(_made(Figure, each) for each in data["figures"]),
        "complaints": tuple(map(_complaint, data["complaints"])),
    }
    return _made(Snapshot, values)


def _subscription(data: dict[str, Any]) -> SubscriptionStatus:
    backlog = data["backlog"]
    known = None if backlog is None else _made(Backlog, backlog)
    return _made(SubscriptionStatus, {**data, "backlog": known})


def _complaint(data: dict[str, Any]) -> Complaint:
    return _made(Complaint, {**data, "probe": Probe(data["probe"])})


Made = TypeVar("Made")


def _made(kind: type[Made], data: dict[str, Any]) -> Made:
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in known})
