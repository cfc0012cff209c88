"""A Pub/Sub server that accepts every message as fast as gRPC permits: no bottleneck of its own.

Run as ``python -m benchmarks.publishing_server``; it prints its address and serves until its
standard input closes. Requests are parsed in C and answered with bytes that were made before.
"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from typing import Any

import grpc
from google.pubsub_v1 import types

PublishRequest = types.PublishRequest.pb()
PublishResponse = types.PublishResponse.pb()

FIRST_ID = 10**16
"""Message ids are as long as Pub/Sub's."""


@lru_cache
def _answer(number: int) -> bytes:
    """A serialised response for so many messages."""
    ids = [str(FIRST_ID + each) for each in range(number)]
    answer: bytes = PublishResponse(message_ids=ids).SerializeToString()
    return answer


async def _publish(payload: bytes, context: Any) -> bytes:
    return _answer(len(PublishRequest.FromString(payload).messages))


class Handler(grpc.GenericRpcHandler):
    """Publish; every other call is unimplemented."""

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Publish"):
            return grpc.unary_unary_rpc_method_handler(_publish)
        return None


async def serve() -> None:
    options = [("grpc.max_concurrent_streams", 100), ("grpc.max_receive_message_length", -1)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve())
