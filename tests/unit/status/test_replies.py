"""What is answered to probes and scrapes."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from rele.status.providers import RenderMetrics
from rele.status.replies import Replies, Reply
from rele.status.snapshot import Complaint, Phase, Probe, Snapshot, SubscriptionStatus

ORDERS = SubscriptionStatus("orders", "orders", threads=2)
WELL = Snapshot("host:1", 5, 1, Phase.CONSUMING, subscriptions=(ORDERS,))
STUCK = Snapshot(
    "host:1", 5, 1, Phase.CONSUMING, complaints=(Complaint(Probe.LIVE, "orders", "It is stuck."),)
)
PAUSED = Snapshot(
    "host:1",
    5,
    1,
    Phase.CONSUMING,
    subscriptions=(SubscriptionStatus("orders", "orders", 2, is_paused=True),),
)
STARTING = Snapshot("host:1", 5, 1, Phase.STARTING)


def reply(path: str, snapshot: Snapshot, render: RenderMetrics | None = None) -> Reply:
    return Replies(lambda: [snapshot], lambda: render, lambda: 0.0).reply(path)


@pytest.mark.parametrize(
    ("path", "snapshot", "status", "body"),
    [
        ("/livez", WELL, 200, "live\n"),
        ("/livez", STARTING, 200, "live\n"),
        ("/livez", STUCK, 503, "not live\norders: It is stuck.\n"),
        ("/readyz", WELL, 200, "ready\nbacklog unknown: orders\n"),
        ("/readyz", PAUSED, 200, "ready\npaused: orders\nbacklog unknown: orders\n"),
        ("/readyz", STUCK, 503, "not ready\norders: It is stuck.\n"),
        (
            "/readyz",
            STARTING,
            503,
            "not ready\nworker: It sets up topics and subscriptions, and opens its streams.\n",
        ),
    ],
)
def test_probes(path: str, snapshot: Snapshot, status: int, body: str) -> None:
    assert reply(path, snapshot) == Reply(status, "text/plain; charset=utf-8", body.encode())


def test_the_status_is_all_that_is_known() -> None:
    answer = reply("/status", STUCK)

    status = json.loads(answer.body)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert (status["is_live"], status["is_ready"]) == (False, False)
    assert status["not_live"] == ["orders: It is stuck."]
    assert status["processes"][0]["process"] == "host:1"


def test_metrics_are_what_a_middleware_renders_of_the_snapshots() -> None:
    def render(snapshots: Sequence[Snapshot]) -> tuple[str, bytes]:
        return "text/plain", f"processes {len(snapshots)}\n".encode()

    assert reply("/metrics", WELL, render) == Reply(200, "text/plain", b"processes 1\n")


def test_without_metrics_it_says_what_to_add() -> None:
    answer = reply("/metrics", WELL)

    assert answer.status == 404
    assert b"rele.contrib.PrometheusMiddleware" in answer.body
    assert answer.body.count(b"\n") == 1


def test_metrics_that_fail_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    def render(snapshots: Sequence[Snapshot]) -> tuple[str, bytes]:
        raise ZeroDivisionError

    assert reply("/metrics", WELL, render).status == 500
    assert "ZeroDivisionError" in caplog.text


def test_another_path_names_those_that_there_are() -> None:
    answer = reply("/", WELL)

    assert answer.status == 404
    assert b"/livez, /readyz, /metrics, /status" in answer.body
