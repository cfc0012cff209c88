"""What the outbox's benchmarks run in processes of their own.

The arguments of ``python -m benchmarks.outbox_child`` name a task. The process says ``ready`` when
it has connected and done the task once; then each line of its input is a number for the task,
answered by a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from rele.contrib.outbox.models import OutboxMessage

TOPIC = "order-paid"
DATA = {"id": 42, "customer": "María José", "lines": [{"sku": "a-1", "pieces": 2}] * 5}
ATTRIBUTES = {"country": "ES"}
BATCH = 1000
"""Rows that are written together."""

FIRST_SECOND = 1.0
"""Of a relay: it connects, takes its shards, and passes once what is not to be sent."""


def _write_one_by_one(write: Callable[[], Any]) -> Callable[[int], float]:
    """Seconds for so many writes, each in a transaction of its own."""
    from django.db import transaction

    def measure(number: int) -> float:
        began = time.perf_counter()
        for _ in range(number):
            with transaction.atomic():
                write()
        return time.perf_counter() - began

    return measure


def _new_row(**fields: Any) -> OutboxMessage:
    from rele.contrib.outbox.models import OutboxMessage

    return OutboxMessage(topic=TOPIC, **fields)


def _fields_by_hand() -> dict[str, Any]:
    """As a project works them out that writes such rows by itself."""
    event_id = str(uuid.uuid4())
    attributes = {**ATTRIBUTES, "published_at": str(time.time()), "event_id": event_id}
    return {
        "event_id": event_id,
        "data": json.dumps(DATA).encode(),
        "attributes": attributes,
    }


def plain(*, ready: bool, many: bool) -> Callable[[int], float]:
    """Write rows by Django alone, with fields that are ``ready`` or are worked out for each."""
    from rele.contrib.outbox.models import OutboxMessage

    objects = OutboxMessage.objects
    fields_made_once = _fields_by_hand()

    def fields() -> dict[str, Any]:
        return fields_made_once if ready else _fields_by_hand()

    if many:
        return _write_one_by_one(
            lambda: objects.bulk_create([_new_row(**fields()) for _ in range(BATCH)])
        )
    return _write_one_by_one(lambda: objects.create(topic=TOPIC, **fields()))


def published(*, many: bool) -> Callable[[int], float]:
    """Publish through the outbox."""
    import rele

    if many:
        return _write_one_by_one(
            lambda: rele.publish_many(TOPIC, ((DATA, ATTRIBUTES) for _ in range(BATCH)))
        )
    return _write_one_by_one(lambda: rele.publish(TOPIC, DATA, **ATTRIBUTES))


def publish_steadily(rate: float) -> Callable[[float], dict[str, float]]:
    """Publish ``rate`` messages a second; the time of each commit by the message's event id."""
    from django.db import transaction

    import rele

    def publish() -> tuple[str, float]:
        committed: list[float] = []
        with transaction.atomic():
            transaction.on_commit(lambda: committed.append(time.time()))
            event_id = rele.publish(TOPIC, DATA).result()
        return event_id, committed[0]

    def measure(seconds: float) -> dict[str, float]:
        commits = []
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(began + number / rate - time.monotonic(), 0))
            commits.append(publish())
        return dict(commits)

    return measure


def relay_for() -> Callable[[float], tuple[float, float]]:
    """Relay for so many seconds after the first one.

    Returns:
        messages per second after the first second, which is left out, and the seconds from the
        relay's beginning to the first messages that it handed over.
    """
    from rele import config
    from rele.backends.pubsub import PubSubBackend
    from rele.contrib.outbox.relaying.relays import make_relays

    handed_over: list[tuple[float, int]] = []
    send = PubSubBackend.send

    def noting(self: PubSubBackend, messages: Any) -> Any:
        handed_over.append((time.perf_counter(), len(messages)))
        return send(self, messages)

    PubSubBackend.send = noting  # type: ignore[method-assign]

    def measure(seconds: float) -> tuple[float, float]:
        relay = make_relays(config.current())
        alarm = threading.Timer(FIRST_SECOND + seconds, relay.stop)
        alarm.start()
        began = time.perf_counter()
        relay.run_once()
        passed = time.perf_counter() - began - FIRST_SECOND
        alarm.cancel()
        after = began + FIRST_SECOND
        return sum(n for at, n in handed_over if at > after) / passed, handed_over[0][0] - began

    return measure


TASKS: dict[str, Callable[..., Callable[[Any], Any]]] = {
    "create": lambda: plain(ready=False, many=False),
    "create-ready": lambda: plain(ready=True, many=False),
    "publish": lambda: published(many=False),
    "bulk-create": lambda: plain(ready=False, many=True),
    "bulk-create-ready": lambda: plain(ready=True, many=True),
    "publish-many": lambda: published(many=True),
    "publish-steadily": lambda rate: publish_steadily(float(rate)),
    "relay": relay_for,
}


def main() -> None:
    django.setup()
    importlib.import_module("rele.client")  # what is loaded makes each garbage collection longer
    name, *arguments = sys.argv[1:]
    task = TASKS[name](*arguments)
    if name != "relay":
        task(1)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(task(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
