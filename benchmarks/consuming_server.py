"""A Pub/Sub server that streams as fast as the flow control permits: no bottleneck of its own.

Run as ``python -m benchmarks.consuming_server``; it prints its address and serves until its
standard input closes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.pubsub_v1 import types

AcknowledgeRequest = types.AcknowledgeRequest.pb()
StreamingPullRequest = types.StreamingPullRequest.pb()
StreamingPullResponse = types.StreamingPullResponse.pb()

IN_A_RESPONSE = 100
"""Messages at most."""

MADE_BEFOREHAND = 20_000
"""Messages that are serialised once and sent round and round."""


def _serialised_messages(payload_bytes: int) -> list[bytes]:
    """Responses of one message each; several of them, one after the other, are one response."""
    padding = "x" * max(payload_bytes - 20, 0)
    return [
        StreamingPullResponse(
            received_messages=[
                {
                    "ack_id": f"ack-{number:060}",
                    "message": {
                        "message_id": str(number),
                        "data": json.dumps({"id": number, "text": padding}).encode(),
                        "attributes": {"published_at": "1764118800.123", "country": "ES"},
                        "publish_time": {"seconds": 1764118800},
                    },
                }
            ]
        ).SerializeToString()
        for number in range(MADE_BEFOREHAND)
    ]


class _Subscription:
    """How many messages are outstanding, over all streams of it."""

    def __init__(self) -> None:
        self.outstanding = 0
        self.changed = asyncio.Event()

    def settle(self, number: int) -> None:
        if number:
            self.outstanding -= number
            self.changed.set()


class Handler(grpc.GenericRpcHandler):
    """StreamingPull and acknowledgements; every other call is answered with what it asks for."""

    def __init__(self, payload_bytes: int) -> None:
        self._messages = itertools.cycle(_serialised_messages(payload_bytes))
        self._subscriptions: dict[str, _Subscription] = {}

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]
        if method == "StreamingPull":
            return grpc.stream_stream_rpc_method_handler(self._pull)
        if method == "Acknowledge":
            return grpc.unary_unary_rpc_method_handler(self._acknowledge)
        if method == "GetSubscription":
            return grpc.unary_unary_rpc_method_handler(self._get_subscription)
        return grpc.unary_unary_rpc_method_handler(self._echo)

    def _subscription(self, name: str) -> _Subscription:
        return self._subscriptions.setdefault(name, _Subscription())

    async def _acknowledge(self, payload: bytes, context: Any) -> bytes:
        request = AcknowledgeRequest.FromString(payload)
        self._subscription(request.subscription).settle(len(request.ack_ids))
        return b""

    async def _get_subscription(self, payload: bytes, context: Any) -> bytes:
        name = types.GetSubscriptionRequest.pb().FromString(payload).subscription
        topic = f"projects/benchmark/topics/{name.rpartition('/')[2]}"
        answer: bytes = types.Subscription.pb()(name=name, topic=topic).SerializeToString()
        return answer

    async def _echo(self, payload: bytes, context: Any) -> bytes:
        return payload

    async def _pull(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        first = StreamingPullRequest.FromString(await anext(requests))
        limit = first.max_outstanding_messages or 1000
        subscription = self._subscription(first.subscription)
        reading = asyncio.create_task(self._read(requests, subscription))
        try:
            while not reading.done():
                room = min(limit - subscription.outstanding, IN_A_RESPONSE)
                if room <= 0:
                    subscription.changed.clear()
                    await subscription.changed.wait()
                    continue
                subscription.outstanding += room
                yield b"".join(itertools.islice(self._messages, room))
        finally:
            reading.cancel()
            subscription.outstanding = 0

    async def _read(self, requests: AsyncIterator[bytes], subscription: _Subscription) -> None:
        async for payload in requests:
            subscription.settle(len(StreamingPullRequest.FromString(payload).ack_ids))
        subscription.changed.set()


async def serve(payload_bytes: int) -> None:
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 100)])
    server.add_generic_rpc_handlers((Handler(payload_bytes),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
