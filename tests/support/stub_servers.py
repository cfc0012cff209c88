"""Pub/Sub servers that do nothing but what a test wants of them."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from tests.support.inbox import Inbox

if TYPE_CHECKING:
    from typing_extensions import Self


class StubServer(grpc.GenericRpcHandler):
    """Answers every call by ``answer``."""

    def __init__(self) -> None:
        self.address = ""
        self.calls = Inbox()
        """The names of methods that were called, without the service."""
        self.is_over = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[Self]:
        """Serve on a free port of the loopback address within the block."""
        options = [("grpc.max_concurrent_streams", 100)]
        server = grpc.server(ThreadPoolExecutor(20), handlers=[self], options=options)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield self
        finally:
            self.is_over.set()
            server.stop(grace=None).wait()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]

        def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            # Like Pub/Sub, read a request before the call may end: gRPC's asyncio API loses the
            # status of a call that ends before its first request is written.
            next(requests, None)
            return self.answer(method, context)

        return grpc.stream_stream_rpc_method_handler(answer)

    @abstractmethod
    def answer(self, method: str, context: grpc.ServicerContext) -> Iterator[bytes]:
        """The responses to a call of ``method``."""


class SilentServer(StubServer):
    """Has nothing, lets everything be made, and never answers ``methods``: it is overloaded.

    Args:
        methods: names without the service, such as ``CreateTopic``.
    """

    def __init__(self, *methods: str) -> None:
        super().__init__()
        self._methods = methods

    def answer(self, method: str, context: grpc.ServicerContext) -> Iterator[bytes]:
        if method in self._methods:
            self.calls.put(method)
            self.is_over.wait()
        elif method.startswith("Create"):
            yield b""
        else:
            context.abort(grpc.StatusCode.NOT_FOUND, "It does not exist.")


class RefusingServer(StubServer):
    """Ends every call with ``code`` and ``details``."""

    def __init__(self) -> None:
        super().__init__()
        self.code = grpc.StatusCode.OK
        self.details: str | None = None

    def answer(self, method: str, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.calls.put(method)
        context.set_code(self.code)
        if self.details is not None:
            context.set_details(self.details)
        return iter(())
