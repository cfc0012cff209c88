"""The libraries that publish, each in the way that is natural for it.

It imports nothing of this repository but Relé, so that it runs in the peers' environment, too.
Every method but the blocking one returns futures.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from typing import Any

PROJECT = "benchmark"
TOPIC = "orders"
ATTRIBUTES = {"country": "ES"}
TIMEOUT = 60.0
"""Seconds."""
IN_A_REQUEST = 1000


class Rele:
    """Relé as a project uses it."""

    def __init__(self, engine: str = "rele") -> None:
        import rele

        rele.setup({**_settings(), "ENGINE": engine, "PUBLISHER_TIMEOUT": TIMEOUT})
        self._rele: Any = rele

    def publish(self, data: Any) -> Any:
        return self._rele.publish(TOPIC, data, **ATTRIBUTES)

    def publish_blocking(self, data: Any) -> None:
        self._rele.publish(TOPIC, data, blocking=True, **ATTRIBUTES)

    def publish_ordered(self, data: Any, key: str) -> Any:
        return self._rele.publish(TOPIC, data, ordering_key=key, **ATTRIBUTES)

    def publish_many(self, items: Iterable[Any]) -> list[Any]:
        futures: list[Any] = self._rele.publish_many(TOPIC, [(item, ATTRIBUTES) for item in items])
        return futures

    async def publish_in_loop(self, data: Any) -> None:
        await self._rele.apublish(TOPIC, data, **ATTRIBUTES)


class ReleOnGooglesClient(Rele):
    """Relé with ``ENGINE`` as ``"google"``."""

    def __init__(self) -> None:
        super().__init__("google")


class Rele1:
    """The last release of rele 1.x; its ``rele.publish`` returns no future, a Publisher does."""

    def __init__(self) -> None:
        import rele
        from rele.client import Publisher

        config = rele.config.setup(_settings())
        self._publisher: Any = Publisher(PROJECT, None, config.encoder, TIMEOUT, None)

    def publish(self, data: Any) -> Any:
        return self._publisher.publish(TOPIC, data, **ATTRIBUTES)

    def publish_blocking(self, data: Any) -> None:
        self._publisher.publish(TOPIC, data, blocking=True, **ATTRIBUTES)

    def publish_many(self, items: Iterable[Any]) -> list[Any]:
        return [self.publish(item) for item in items]


class Google:
    """Google's client with its defaults, and ordering where that is asked for."""

    def __init__(self) -> None:
        from google.cloud import pubsub_v1

        self._pubsub: Any = pubsub_v1
        self._client = pubsub_v1.PublisherClient()
        self._ordered: Any = None
        self._path = self._client.topic_path(PROJECT, TOPIC)

    def publish(self, data: Any) -> Any:
        return self._client.publish(self._path, json.dumps(data).encode(), **ATTRIBUTES)

    def publish_blocking(self, data: Any) -> None:
        self.publish(data).result(TIMEOUT)

    def publish_ordered(self, data: Any, key: str) -> Any:
        if self._ordered is None:
            options = self._pubsub.types.PublisherOptions(enable_message_ordering=True)
            self._ordered = self._pubsub.PublisherClient(publisher_options=options)
        payload = json.dumps(data).encode()
        return self._ordered.publish(self._path, payload, ordering_key=key, **ATTRIBUTES)

    def publish_many(self, items: Iterable[Any]) -> list[Any]:
        return [self.publish(item) for item in items]

    async def publish_in_loop(self, data: Any) -> None:
        await asyncio.wrap_future(self.publish(data))


class Stub:
    """The generated messages and gRPC, 1,000 messages a request: the least that Python can do."""

    def __init__(self) -> None:
        import grpc
        from google.pubsub_v1 import types

        self._request_type: Any = types.PublishRequest.pb()
        self._channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
        self._publish: Any = self._channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=self._request_type.SerializeToString,
            response_deserializer=types.PublishResponse.pb().FromString,
        )

    def publish_many(self, items: Iterable[Any]) -> list[Any]:
        """Return the future of each request, not of each message."""
        items, futures = list(items), []
        for first in range(0, len(items), IN_A_REQUEST):
            request = self._request_type(topic=f"projects/{PROJECT}/topics/{TOPIC}")
            for item in items[first : first + IN_A_REQUEST]:
                request.messages.add(data=json.dumps(item).encode(), attributes=ATTRIBUTES)
            futures.append(self._publish.future(request, timeout=TIMEOUT))
        return futures


def _settings() -> dict[str, Any]:
    return {
        "APP_NAME": "benchmark",
        "GC_PROJECT_ID": PROJECT,
        "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"],
    }


LIBRARIES: dict[str, Any] = {
    "rele": Rele,
    "rele-on-google": ReleOnGooglesClient,
    "rele-1": Rele1,
    "google": Google,
    "stub": Stub,
}
