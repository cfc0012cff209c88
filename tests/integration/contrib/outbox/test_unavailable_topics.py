"""One topic that is unavailable, and the relay of all topics."""

from __future__ import annotations

import time

import pytest
from grpc import StatusCode

import rele
from rele.config import Config
from rele.contrib.outbox.relaying import relays
from rele.contrib.outbox.relaying.relay_status import contribution_of
from rele.contrib.outbox.relaying.relays import make_relays
from rele.contrib.outbox.relaying.times import RelayTimes
from tests.support.outbox import ALIAS, InThread, waiting
from tests.support.polling import wait_until
from tests.support.publish_server import PublishServer


@pytest.mark.parametrize("key", ["", "customer-1"])
def test_an_unavailable_topic_stops_no_other(
    database: str,
    publish_server: PublishServer,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    monkeypatch.setattr(relays, "_RETRY_FOR", 1.0)
    publish_server.refuse(StatusCode.UNAVAILABLE, topic="down")
    for number in range(10):
        rele.publish("down", number, ordering_key=key)
        rele.publish("orders", number, ordering_key=key)
    relay = make_relays(
        Config({"ENGINE": "rele", "GC_PROJECT_ID": "project", "OUTBOX": {"USING": ALIAS}}),
        times=RelayTimes(rest=5.0),
    )

    thread = InThread(relay.run)
    try:
        publish_server.accepted.wait_for(10)
        _wait_until_only(10)  # all of the topic that is down
        began = time.monotonic()
        rele.publish("orders", "later", ordering_key=key)
        publish_server.accepted.wait_for(11)
        seconds = time.monotonic() - began
        publish_server.accept_all()
        publish_server.accepted.wait_for(21)
        _wait_until_only(0)
    finally:
        relay.stop()
        thread.join()

    assert seconds < 4  # the rest of the topic has not ended yet
    assert publish_server.accepted.items[11:] == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_process_of_relays_is_not_ready_in_an_outage(
    database: str, publish_server: PublishServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_RETRY_FOR", 0.2)
    publish_server.refuse(StatusCode.UNAVAILABLE, topic="orders")
    rele.publish("orders", 1)
    relay = make_relays(
        Config({"ENGINE": "rele", "GC_PROJECT_ID": "project", "OUTBOX": {"USING": ALIAS}}),
        times=RelayTimes(rest=0.2),
    )

    def complaints() -> list[str]:
        return [each.reason for each in contribution_of(relay).complaints]

    thread = InThread(relay.run)
    try:
        wait_until(lambda: bool(complaints()), 20)
        assert complaints()[0].startswith("Pub/Sub does not accept the messages of the outbox")

        publish_server.accept_all()

        wait_until(lambda: not complaints(), 20)
        _wait_until_only(0)
    finally:
        relay.stop()
        thread.join()


def _wait_until_only(count: int) -> None:
    deadline = time.monotonic() + 20
    while len(waiting()) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)  # the relay is in another thread, the rows are in the database
