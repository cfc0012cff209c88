"""How much memory a relay takes, whatever the payloads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import rele
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from tests.support.outbox import FakePubSub
from tests.support.outbox_rows import insert

CHILD = """
import json, re, sys
from concurrent.futures import Future
from threading import Timer

import django
from django.conf import settings

database = json.loads(sys.argv[1])
settings.configure(
    DATABASES={"default": database}, USE_TZ=True, INSTALLED_APPS=["rele.contrib.outbox"]
)
django.setup()

from rele.backends import BaseBackend
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.relaying.relay import OutboxRelay
import google.cloud.pubsub_v1  # as a relay has it

class PubSub(BaseBackend):
    def __init__(self):
        self.sizes = []

    def send(self, messages):
        self.sizes += [len(message.data) for message in messages]
        futures = [Future() for _ in messages]
        Timer(0.02, lambda: [future.set_result("1") for future in futures]).start()
        return futures

pubsub = PubSub()
def most_memory():
    [kilobytes] = re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
    return int(kilobytes)

before = most_memory()
tally = OutboxRelay("default", OutboxSettings(), pubsub).run_once()
after = most_memory()
print(json.dumps([tally.sent, len(pubsub.sizes), before, after]))
"""


@pytest.mark.usefixtures("postgres")
def test_sixty_messages_of_almost_ten_megabytes_take_less_than_a_batch_of_them(
    postgres_database: dict[str, Any],
) -> None:
    insert(60, data="decode(repeat('61', 9900000), 'hex')")
    keys = ("ENGINE", "NAME", "USER", "HOST", "PORT")
    database = {key: postgres_database[key] for key in keys}

    child = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(database)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert child.returncode == 0, child.stderr
    sent, handed_over, before, after = json.loads(child.stdout)
    assert (sent, handed_over) == (60, 60)
    assert after - before < 50_000, (before, after)


@pytest.mark.usefixtures("database")
def test_a_large_message_is_sent_as_it_was_published(
    make_relay: Callable[..., OutboxRelay], servers: FakePubSub
) -> None:
    data = {"text": "é" * 300_000, "zero": "\0"}
    rele.publish("orders", data, ordering_key="ключ", customer="ñ")
    rele.publish("orders", 2)

    assert make_relay().run_once() == Tally(2, 0)

    [message] = [each for each in servers.accepted if each.ordering_key]
    assert message.json() == data
    assert (message.ordering_key, message.attributes["customer"]) == ("ключ", "ñ")
