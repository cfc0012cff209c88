"""What the server has, as an RPC on its own port.

``rele.emulator.v1.Status/Get`` takes an empty request and answers with JSON in bytes. No
client library knows it.
"""

import json
import time
from typing import Any, TypeAlias

import grpc

from rele.emulator.resources.registry import Registry
from rele.emulator.resources.subscription import Subscription

METHOD = "/rele.emulator.v1.Status/Get"

Report: TypeAlias = dict[str, Any]
"""``{"topics": [{"name", "subscriptions"}], "subscriptions": [{"name", "topic",
"consumers", "waiting", "outstanding", "oldest_seconds"}]}``, by name.

``subscriptions`` of a topic is their number. ``consumers`` are streams and waiting Pulls.
``waiting`` messages are to be delivered, now or after their backoff; ``outstanding`` ones are
leased to a client. ``oldest_seconds`` is how long ago the oldest of both was published, or None.
``damaged`` counts the faults of the data on disk, which was set aside.
"""


def report_of(registry: Registry, now: float) -> Report:
    """What is in ``registry`` at ``now``, in seconds since the epoch."""
    topics, subscriptions = registry.topics, registry.subscriptions
    return {
        "topics": [
            {"name": name, "subscriptions": len(topics[name].subscriptions)}
            for name in sorted(topics)
        ],
        "subscriptions": [_entry(name, subscriptions[name], now) for name in sorted(subscriptions)],
        "damaged": registry.journal.damaged,
    }


def status_handler(registry: Registry) -> "grpc.GenericRpcHandler":
    """What a gRPC server takes to answer for ``registry``."""

    async def get(_request: bytes, _context: object) -> bytes:
        return json.dumps(report_of(registry, time.time())).encode()

    _, service, method = METHOD.split("/")
    return grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(get)}
    )


def _entry(name: str, subscription: Subscription, now: float) -> dict[str, Any]:
    census = subscription.backlog.census()
    age = None if census.oldest is None else max(0.0, now - census.oldest / 1_000_000)
    return {
        "name": name,
        "topic": subscription.config.topic,
        "consumers": census.consumers,
        "waiting": census.waiting,
        "outstanding": census.outstanding,
        "oldest_seconds": age,
    }
