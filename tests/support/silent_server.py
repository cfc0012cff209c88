"""A Pub/Sub server that never answers some methods, as one that is overloaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from tests.support.inbox import Inbox


class SilentServer(grpc.GenericRpcHandler):
    """Has nothing, lets everything be made, and never answers ``methods``.

    Args:
        methods: names without the service, such as ``CreateTopic``.
    """

    def __init__(self, *methods: str) -> None:
        self.address = ""
        self.calls = Inbox()
        """The names of the methods that were called and got no answer."""
        self._methods = methods
        self._is_over = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[SilentServer]:
        """Serve on a free port of the loopback address within the block."""
        server = grpc.server(ThreadPoolExecutor(20), handlers=[self])
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield self
        finally:
            self._is_over.set()
            server.stop(grace=None).wait()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        name = details.method.rpartition("/")[2]
        return grpc.stream_stream_rpc_method_handler(self._behaviour(name))

    def _behaviour(self, name: str) -> Callable[[Any, grpc.ServicerContext], Iterator[bytes]]:
        def answer(requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            if name in self._methods:
                self.calls.put(name)
                self._is_over.wait()
            elif name.startswith("Create"):
                yield b""
            else:
                context.abort(grpc.StatusCode.NOT_FOUND, "It does not exist.")

        return answer
