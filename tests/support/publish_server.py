"""A Pub/Sub server that answers Publish as a test says, and records every request."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode

from rele.emulator.wire.classes import PublishResponse
from rele.emulator.wire.descriptors import message_class
from tests.support.grpc_server import Call, GrpcServer
from tests.support.inbox import Inbox
from tests.support.rules import Hold, ScriptedServer, Which

__all__ = ["Hold", "PublishServer", "Request"]

_PublishRequest = message_class("PublishRequest")


class Request:
    """One PublishRequest as it arrived."""

    def __init__(self, call: Call, number: int) -> None:
        parsed = _PublishRequest.FromString(call.body)
        self.number = number
        """From 1, in the order of arrival."""
        self.topic: str = parsed.topic.rpartition("/")[2]
        self.path: str = parsed.topic
        """The topic's name with its project."""
        self.messages: list[Any] = list(parsed.messages)
        self.call = call
        """Headers, deadline, connection and peer; set ``is_cancelled`` once the client gave up."""
        self.accepted_as: list[str] | None = None
        """The ids of its messages, if it was accepted."""

    @property
    def data(self) -> list[bytes]:
        return [message.data for message in self.messages]

    @property
    def keys(self) -> set[str]:
        """The ordering keys of its messages; one, which is empty where they have none."""
        return {message.ordering_key for message in self.messages}

    @property
    def key(self) -> str | None:
        """The ordering key of all its messages; ``None`` if they have several."""
        [key, *others] = self.keys
        return None if others else key

    @property
    def size(self) -> int:
        """Bytes of the serialised request, before compression."""
        return len(self.call.body)

    @property
    def wire_bytes(self) -> int:
        return self.call.wire_bytes

    @property
    def encoding(self) -> str:
        """``identity`` or ``gzip``."""
        return self.call.encoding

    @property
    def at(self) -> float:
        """When it arrived, by ``time.monotonic``."""
        return self.call.at

    def __repr__(self) -> str:
        return f"<{self.number}: {len(self.messages)} to {self.topic}, keys {self.keys}>"


@dataclass(frozen=True)
class WhichPublish(Which):
    """Which PublishRequests."""

    number: int | None = None
    """The n-th of all requests, from 1."""
    topic: str | None = None
    key: str | None = None
    """The ordering key; ``""``: those without one."""
    data: bytes | None = None
    """A message of the request has this data."""


class PublishServer(ScriptedServer):
    """Accepts every PublishRequest, unless a test has said otherwise.

    A request is answered by the first rule that is for it, in the order in which they were made::

        with PublishServer() as server:
            server.refuse(StatusCode.UNAVAILABLE, times=3, topic="photos")
            held = server.hold(key="customer-7")
            ...
            held.requests.wait_for(1)
            held.release()

    What :meth:`hold` holds and nobody releases is never answered.
    """

    which = WhichPublish

    def __init__(self) -> None:
        super().__init__()
        self.requests = Inbox()
        """All requests, of the class Request, in the order of arrival."""
        self.accepted = Inbox()
        """The data of the messages that were accepted, in the order of the answers."""
        self.delay = 0.0
        """Seconds until a request is answered from now on; those that are held apart."""
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._server = GrpcServer(self._handle)
        self.address = self._server.address

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._server.connections

    @property
    def open_connections(self) -> int:
        return self._server.open_connections

    def accept(self, request: Request) -> None:
        """Accept a request that was not answered yet."""
        with self._lock:
            request.accepted_as = [str(next(self._ids)) for _ in request.messages]
            for data in request.data:
                self.accepted.put(data)
        response = PublishResponse(message_ids=request.accepted_as)
        request.call.reply(response.SerializeToString())

    def data_by_key(self) -> dict[str, list[bytes]]:
        """The data that arrived for each ordering key, in order, refused attempts too."""
        by_key: dict[str, list[bytes]] = {}
        for request in self.requests.items:
            for message in request.messages:
                by_key.setdefault(message.ordering_key, []).append(message.data)
        return by_key

    def close(self) -> None:
        self._server.close()

    def _handle(self, call: Call) -> None:
        if call.method != "Publish":
            call.refuse(StatusCode.UNIMPLEMENTED, f"This server has no {call.method}.")
            return
        with self._lock:
            request = Request(call, len(self.requests.items) + 1)
            self.requests.put(request)
            rule = self._rule_for(request)
        if self.delay and not isinstance(rule, Hold):
            timer = threading.Timer(self.delay, self._answer, [rule, request])
            timer.daemon = True
            timer.start()
        else:
            self._answer(rule, request)
