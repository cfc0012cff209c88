"""A snapshot comes through JSON as it was."""

from __future__ import annotations

import json

import pytest

from rele.status.encoding import as_data, from_json, to_json
from rele.status.snapshot import (
    Backlog,
    Complaint,
    Figure,
    Phase,
    Probe,
    Snapshot,
    SubscriptionStatus,
)

FULL = Snapshot(
    process="host:17/2",
    taken_at=1_000.5,
    started_at=900.0,
    phase=Phase.DRAINING,
    subscriptions=(
        SubscriptionStatus("orders", "orders", threads=2, idle_for=3.5, backlog=Backlog(7, 60.0)),
        SubscriptionStatus("refunds", "refunds", threads=1, is_paused=True, refused_for=12.0),
    ),
    figures=(
        Figure("rele_outbox_waiting", 3, "Waiting.", labels={"database": "default"}, is_total=True),
    ),
    complaints=(Complaint(Probe.LIVE, "orders", "Its event loop has ended: “restart it”."),),
)


@pytest.mark.parametrize("snapshot", [FULL, Snapshot("host:17", 2.0, 1.0)])
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    text = to_json(snapshot)

    assert "\n" not in text
    assert from_json(text) == snapshot


def test_what_a_newer_version_adds_is_left_out() -> None:
    data = {**as_data(FULL), "mood": "good"}
    data["subscriptions"][0]["mood"] = "better"

    assert from_json(json.dumps(data)) == FULL


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"phase": "dancing"}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of json, of an enum, or its own
        from_json(text)
