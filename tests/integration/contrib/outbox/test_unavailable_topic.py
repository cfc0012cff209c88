"""A relay that sends through Relé's own publisher, while one topic is unavailable."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from grpc import StatusCode

import rele
from rele.backends.pubsub import PubSubBackend
from rele.config import Config
from rele.contrib.outbox.relay import OutboxRelay, Tally
from tests.support.outbox import make_due, waiting
from tests.support.publish_server import PublishServer

MakeRelay = Callable[..., OutboxRelay]


@pytest.mark.parametrize("key", ["", "customer-7"])
def test_its_messages_are_tried_again_and_the_others_are_sent_meanwhile(
    sqlite: None, make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    attributes = {"ordering_key": key} if key else {}
    with PublishServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        config = Config({"GC_PROJECT_ID": "p", "ENGINE": "rele", "PUBLISHER_RETRY_FOR": 1.0})
        backend = PubSubBackend(config)
        relay = make_relay(backend)
        server.refuse(StatusCode.UNAVAILABLE, topic="down")
        rele.publish("down", 1, **attributes)
        rele.publish("others", 2, **attributes)

        began = time.monotonic()
        assert relay.run_once() == Tally(1, 1)

        assert time.monotonic() - began < 10
        [row] = waiting()
        assert (row.topic, row.attempts) == ("down", 0)
        rele.publish("others", 3, **attributes)
        assert relay.run_once() == Tally(1, 0)

        server.accept_all()
        make_due()
        assert relay.run_once() == Tally(1, 0)
        assert waiting() == []
        assert server.accepted.items == [b"2", b"3", b"1"]
        backend.close(5)
        backend.release()
