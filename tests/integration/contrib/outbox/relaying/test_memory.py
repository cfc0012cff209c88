"""How much memory a relay takes, whatever the payloads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from google.cloud.pubsub_v1 import PublisherClient

import rele
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from tests.support.outbox import FakePubSub
from tests.support.outbox_rows import insert

CHILD = """
import json, re, sys

import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    DATABASES={"default": json.loads(sys.argv[1])},
    USE_TZ=True,
    INSTALLED_APPS=["rele", "rele.contrib.outbox"],
    RELE={"GC_PROJECT_ID": "p", "ENGINE": "rele", "MIDDLEWARE": []},
)
django.setup()
call_command("rele", "relay", "--once")
[kilobytes] = re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(int(kilobytes) / 1024)
"""


@pytest.mark.usefixtures("postgres")
def test_a_relay_takes_less_than_150_megabytes_for_messages_of_almost_ten(
    postgres_database: dict[str, Any], embedded_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    with PublisherClient() as client:
        client.create_topic(name="projects/p/topics/orders")
    insert(30, data="decode(repeat('61', 9900000), 'hex')")
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
    *_, sent, megabytes = child.stdout.splitlines()
    assert sent == "30 message(s) sent."
    assert float(megabytes) < 150


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
