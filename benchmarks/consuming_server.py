"""A Pub/Sub server that streams as fast as the flow control permits: no bottleneck of its own.

Run as ``python -m benchmarks.consuming_server PAYLOAD_BYTES``; it prints its address and serves
until its standard input closes. What it sends was serialised before it began, so that sending
copies one piece of memory for each response.

A subscription whose name has ``quiet`` in it gets one message when its first stream opens, and
then those that are published to the topic that its name ends with. Every other one never runs
out of messages.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator
from itertools import accumulate
from typing import Any

import grpc
from google.pubsub_v1 import types

AcknowledgeRequest = types.AcknowledgeRequest.pb()
PublishRequest = types.PublishRequest.pb()
StreamingPullRequest = types.StreamingPullRequest.pb()
StreamingPullResponse = types.StreamingPullResponse.pb()

IN_A_RESPONSE = 500
"""Messages at most."""

MADE_BEFOREHAND = 20_000
"""Messages that are serialised once and sent round and round."""


def response_of(number: int, data: bytes) -> bytes:
    """A response of one message; several of them, one after the other, are one response."""
    attributes = {"published_at": "1764118800.123", "country": "ES"}
    message = {
        "message_id": str(10**16 + number),
        "data": data,
        "attributes": attributes,
        "publish_time": {"seconds": 1764118800},
    }
    received = [{"ack_id": f"ack-{number:0180}", "message": message}]
    response: bytes = StreamingPullResponse(received_messages=received).SerializeToString()
    return response


class Supply:
    """Messages without end, in responses that were serialised before."""

    def __init__(self, payload_bytes: int) -> None:
        padding = "x" * max(payload_bytes - 24, 0)
        each = [
            response_of(number, json.dumps({"id": number, "text": padding}).encode())
            for number in range(MADE_BEFOREHAND)
        ]
        self._all = memoryview(b"".join(each))
        self._starts = list(accumulate(map(len, each), initial=0))
        self._next = 0
        self._takers: list[Any] = [None] * MADE_BEFOREHAND

    def taker(self, ack_id: str) -> Any:
        """The stream that took the message of ``ack_id`` last."""
        return self._takers[int(ack_id[-8:])]

    def take(self, number: int, taker: Any) -> tuple[int, bytes]:
        """A response of at most ``number`` messages for ``taker``, and how many it has."""
        first = self._next
        last = min(first + number, MADE_BEFOREHAND)
        self._takers[first:last] = [taker] * (last - first)
        self._next = last % MADE_BEFOREHAND
        return last - first, bytes(self._all[self._starts[first] : self._starts[last]])


class Stream:
    """The flow control of one stream."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.outstanding = 0


class Subscription:
    """The streams of a subscription, and what waits where it is quiet."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.ended = 0
        """What is outstanding of streams that have ended."""
        self.waiting: deque[bytes] = deque([response_of(0, b'{"id": 0}')])
        self.changed = asyncio.Event()

    def settle(self, number: int) -> None:
        """Make room on the oldest streams first: that is the order in which they delivered."""
        of_ended = min(number, self.ended)
        self.ended -= of_ended
        number -= of_ended
        for stream in self.streams:
            of_stream = min(number, stream.outstanding)
            stream.outstanding -= of_stream
            number -= of_stream
        self.changed.set()

    def close(self, stream: Stream) -> None:
        self.streams.remove(stream)
        self.ended += stream.outstanding


class Handler(grpc.GenericRpcHandler):
    """StreamingPull, acknowledgements and Publish; other calls are answered with their request."""

    def __init__(self, payload_bytes: int) -> None:
        self._supply = Supply(payload_bytes)
        self._subscriptions: dict[str, Subscription] = {}
        self._acknowledged = 0
        self._published = 0

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]
        if method == "StreamingPull":
            return grpc.stream_stream_rpc_method_handler(self._pull)
        methods = {
            "Acknowledge": self._acknowledge,
            "Publish": self._publish,
            "GetSubscription": self._get_subscription,
            "Acknowledged": self._statistics,
        }
        return grpc.unary_unary_rpc_method_handler(methods.get(method, self._echo))

    def _subscription(self, name: str) -> Subscription:
        subscription = self._subscriptions.get(name)
        if subscription is None:
            subscription = self._subscriptions[name] = Subscription()
        return subscription

    async def _acknowledge(self, payload: bytes, context: Any) -> bytes:
        request = AcknowledgeRequest.FromString(payload)
        subscription = self._subscription(request.subscription)
        if len(subscription.streams) > 1 and "quiet" not in request.subscription:
            # Of several processes, each makes room on its own streams.
            for ack_id in request.ack_ids:
                self._supply.taker(ack_id).outstanding -= 1
            self._acknowledged += len(request.ack_ids)
            subscription.changed.set()
        else:
            self._settle(subscription, len(request.ack_ids))
        return b""

    def _settle(self, subscription: Subscription, number: int) -> None:
        if number:
            self._acknowledged += number
            subscription.settle(number)

    async def _statistics(self, payload: bytes, context: Any) -> bytes:
        return str(self._acknowledged).encode()

    async def _publish(self, payload: bytes, context: Any) -> bytes:
        request = PublishRequest.FromString(payload)
        topic = request.topic.rpartition("/")[2]
        for name, subscription in self._subscriptions.items():
            if name.endswith(topic):
                for message in request.messages:
                    self._published += 1
                    subscription.waiting.append(response_of(self._published, message.data))
                subscription.changed.set()
        ids = [str(self._published)] * len(request.messages)
        answer: bytes = types.PublishResponse.pb()(message_ids=ids).SerializeToString()
        return answer

    async def _get_subscription(self, payload: bytes, context: Any) -> bytes:
        name = types.GetSubscriptionRequest.pb().FromString(payload).subscription
        topic = f"projects/benchmark/topics/{name.rpartition('/')[2]}"
        answer: bytes = types.Subscription.pb()(name=name, topic=topic).SerializeToString()
        return answer

    async def _echo(self, payload: bytes, context: Any) -> bytes:
        return payload

    async def _pull(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        first = StreamingPullRequest.FromString(await anext(requests))
        subscription = self._subscription(first.subscription)
        stream = Stream(first.max_outstanding_messages or 1000)
        subscription.streams.append(stream)
        answers: deque[bytes] = deque()
        reading = asyncio.create_task(
            self._read(requests, subscription, answers if first.protocol_version else None)
        )
        take = self._take_waiting if "quiet" in first.subscription else self._take
        try:
            while not reading.done():
                if answers:
                    yield answers.popleft()
                    continue
                number, response = take(subscription, stream)
                if number:
                    stream.outstanding += number
                    yield response
                else:
                    subscription.changed.clear()
                    await subscription.changed.wait()
        finally:
            reading.cancel()
            subscription.close(stream)

    def _take(self, subscription: Subscription, stream: Stream) -> tuple[int, bytes]:
        # Each process has streams of its own. One that was replaced is half-closed soon.
        room = stream.limit - stream.outstanding
        return self._supply.take(min(room, IN_A_RESPONSE), stream) if room > 0 else (0, b"")

    def _take_waiting(self, subscription: Subscription, stream: Stream) -> tuple[int, bytes]:
        return (1, subscription.waiting.popleft()) if subscription.waiting else (0, b"")

    async def _read(
        self,
        requests: AsyncIterator[bytes],
        subscription: Subscription,
        answers: deque[bytes] | None,
    ) -> None:
        """Take acks that Google's older clients send on the stream, and answer keepalives."""
        try:
            async for payload in requests:
                number = len(StreamingPullRequest.FromString(payload).ack_ids)
                self._settle(subscription, number)
                if not number and answers is not None:
                    answers.append(b"")
                    subscription.changed.set()
        finally:
            subscription.changed.set()


async def serve(payload_bytes: int) -> None:
    options = [("grpc.max_concurrent_streams", 100)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((Handler(payload_bytes),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # all clients have ended, and nothing waits for what is under way


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
