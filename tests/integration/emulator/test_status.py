"""What a running server says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.cloud import pubsub_v1

from rele.cli import main
from rele.emulator import EmbeddedServer, StatusError, ask_status
from tests.integration.emulator.conftest import BareStream
from tests.support import servers

Publish = Callable[..., list[str]]


def _of(report: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [each for each in report["subscriptions"] if each["name"] == name]
    return found


def test_a_new_server_has_nothing() -> None:
    with EmbeddedServer() as server:
        assert ask_status(server.address) == {"topics": [], "subscriptions": [], "damaged": 0}


def test_messages_are_counted(
    emulator: str,
    topic: str,
    subscription: str,
    publish: Publish,
    subscriber: pubsub_v1.SubscriberClient,
) -> None:
    empty = _of(ask_status(emulator), subscription)
    publish(*[b"x"] * 5)
    pulled = subscriber.pull(subscription=subscription, max_messages=2).received_messages
    report = ask_status(emulator)

    assert {"name": topic, "subscriptions": 1} in report["topics"]
    assert (empty["waiting"], empty["outstanding"], empty["oldest_seconds"]) == (0, 0, None)
    found = _of(report, subscription)
    assert found["topic"] == topic
    assert (found["waiting"], found["outstanding"]) == (5 - len(pulled), len(pulled))
    assert 0 <= found["oldest_seconds"] < 60

    subscriber.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in pulled])

    found = _of(ask_status(emulator), subscription)
    assert (found["waiting"], found["outstanding"]) == (5 - len(pulled), 0)


def test_a_stream_has_its_messages_outstanding(
    emulator: str, subscription: str, publish: Publish, stream: Callable[..., BareStream]
) -> None:
    publish(*[b"x"] * 3)
    opened = stream(max_outstanding_messages=2)
    opened.next_data(2)

    found = _of(ask_status(emulator), subscription)

    assert (found["consumers"], found["waiting"], found["outstanding"]) == (1, 1, 2)


def test_where_nobody_answers_it_says_what_to_do() -> None:
    address = f"127.0.0.1:{servers.free_port()}"

    with pytest.raises(StatusError, match=f"No Pub/Sub server answers at {address}.*--host-port"):
        ask_status(address)


def test_another_server_has_no_status() -> None:
    with servers.started("google") as address:
        with pytest.raises(StatusError, match="not Relé's"):
            ask_status(address)


def test_the_command_asks_it(
    emulator: str, subscription: str, publish: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(b"x")

    assert main(["emulator", "--status", "--host-port", emulator]) == 0

    _, project, _, name = subscription.split("/")
    _, _, shown = capsys.readouterr().out.partition(f"{project}/{name}\n")
    block = [line.split() for line in shown.splitlines()[:4]]
    assert block == [
        ["Topic", "orders"],
        ["Consumers", "0"],
        ["Waiting", "1"],
        ["Outstanding", "0"],
    ]
