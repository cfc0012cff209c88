"""Recorder that run in a relay and use a database of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

import rele
from rele.contrib.outbox.relaying.relay import OutboxRelay
from tests.integration.contrib.outbox.conftest import terminate_all_connections
from tests.support.inbox import Inbox
from tests.support.outbox import REFUSED, FakePubSub, InThread
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("sqlite")

AUDIT = "audit"


@pytest.fixture
def audit(postgres_database: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A second database, whose connections last."""
    connections.settings[AUDIT] = {**postgres_database, "CONN_MAX_AGE": None}
    yield connections.settings[AUDIT]
    connections[AUDIT].close()
    del connections[AUDIT], connections.settings[AUDIT]


def query() -> None:
    with connections[AUDIT].cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize("hook", ["post_publish_success", "post_publish_failure"])
def test_a_hook_whose_connection_was_closed_works_again(
    hook: str,
    audit: dict[str, Any],
    hooks: Recorder,
    make_relay: Callable[..., OutboxRelay],
    servers: FakePubSub,
) -> None:
    outcomes = Inbox()

    def write(*arguments: Any) -> None:
        try:
            query()
        except Exception:
            outcomes.put(False)
            raise
        outcomes.put(True)

    hooks.actions[hook] = write
    if hook == "post_publish_failure":
        servers.errors = {str(number): REFUSED for number in range(5)}
    relay = make_relay(max_attempts=1)
    thread = InThread(relay.run)
    try:
        rele.publish("orders", 0)
        assert outcomes.wait_for(1) == [True]

        terminate_all_connections(audit)
        rele.publish_many("orders", [1, 2])
        assert outcomes.wait_for(3) == [True, False, True], "renewed for the next hook"
    finally:
        relay.stop()
        thread.join()
