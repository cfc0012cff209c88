"""A Pub/Sub server whose streams and acknowledgements a test scripts, and which records all."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from google.rpc.code_pb2 import FAILED_PRECONDITION
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from rele.emulator.wire.descriptors import message_class
from tests.support.grpc_server import Call, GrpcServer, StreamCall
from tests.support.inbox import Inbox
from tests.support.rules import Rule, ScriptedServer, Which

_ReceivedMessage = message_class("ReceivedMessage")
_StreamingPullRequest = message_class("StreamingPullRequest")
_StreamingPullResponse = message_class("StreamingPullResponse")
_REQUESTS = {
    "Acknowledge": message_class("AcknowledgeRequest"),
    "ModifyAckDeadline": message_class("ModifyAckDeadlineRequest"),
}

Purpose = Literal["ack", "nack", "modify"]


class PullStream:
    """A StreamingPull, from its first request on."""

    def __init__(self, server: PullServer, call: StreamCall) -> None:
        self._server = server
        self.call = call
        """Its connection, and whether the client has cancelled it."""
        self.first: Any = None
        """The first request, parsed."""
        self.pings = Inbox()
        """The times at which later requests arrived, which are keepalives."""
        self.is_half_closed = threading.Event()
        """Set once the client sends no more requests: it takes what was sent before."""
        call.on_request = self._receive
        call.on_half_close = self._half_close

    @property
    def subscription(self) -> str:
        """The subscription's name, without the project."""
        name: str = self.first.subscription.rpartition("/")[2]
        return name

    @property
    def limit(self) -> int:
        """How many messages may be outstanding on it."""
        limit: int = self.first.max_outstanding_messages
        return limit

    def deliver(self, *messages: bytes | Mapping[str, Any]) -> list[str]:
        """Deliver messages in one response; return their ack ids.

        Args:
            messages: the data, or the fields ``data``, ``key``, ``message_id`` (of an earlier
                delivery) and ``attempt``.
        """
        received = [self._server.received(message) for message in messages]
        self.send(received_messages=received)
        return [each.ack_id for each in received]

    def send(self, **response: Any) -> None:
        """Send a response, which may be empty."""
        self.call.reply(_StreamingPullResponse(**response).SerializeToString())

    def end(self, code: StatusCode = StatusCode.UNAVAILABLE, details: str = "") -> None:
        """End the stream."""
        self.call.refuse(code, details)

    def _receive(self, request: bytes) -> None:
        if self.first is None:
            self.first = _StreamingPullRequest.FromString(request)
            self._server.open(self)
            return
        self.pings.put(request)
        if self._server.answers_pings:
            self.send()

    def _half_close(self) -> None:
        self.is_half_closed.set()
        if self._server.ends_half_closed:
            self.end(StatusCode.OK)

    def __repr__(self) -> str:
        return f"<stream of {self.subscription}, limit {self.limit}>"


class AckRequest:
    """An Acknowledge or a ModifyAckDeadline as it arrived."""

    def __init__(self, call: Call, number: int) -> None:
        parsed = _REQUESTS[call.method].FromString(call.body)
        self.number = number
        """From 1, in the order of arrival."""
        self.subscription: str = parsed.subscription.rpartition("/")[2]
        self.ack_ids: list[str] = list(parsed.ack_ids)
        self.seconds: int | None = getattr(parsed, "ack_deadline_seconds", None)
        """The new deadline; ``None`` for an Acknowledge."""
        self.call = call
        """Headers, deadline and connection."""

    @property
    def purpose(self) -> Purpose:
        """``modify`` is an extension or a delay."""
        if self.seconds is None:
            return "ack"
        return "modify" if self.seconds else "nack"

    @property
    def at(self) -> float:
        """When it arrived, by ``time.monotonic``."""
        return self.call.at

    def __repr__(self) -> str:
        return f"<{self.number}: {self.purpose} {self.seconds} {self.ack_ids}>"


@dataclass(frozen=True)
class WhichAck(Which):
    """Which acknowledgements and extensions."""

    purpose: Purpose | None = None
    ack_ids: str | None = None
    """One of them."""
    seconds: int | None = None
    subscription: str | None = None


@dataclass
class _RefusedIds(Rule):
    """The ids of a request that are refused one by one, as with exactly-once delivery."""

    reason: str

    def answer(self, server: Any, request: AckRequest) -> None:
        refuse_ids(request, dict.fromkeys(request.ack_ids, self.reason))


class PullServer(ScriptedServer):
    """Accepts every stream, acknowledgement and extension, unless a test has said otherwise::

        with PullServer() as server:
            stream = server.streams.wait_for(1)[0]
            (ack_id,) = stream.deliver(b"1")
            server.refuse(StatusCode.UNAVAILABLE, times=3, purpose="ack")
            held = server.hold(purpose="modify")
            ...
            server.acked.wait_for(1)
            stream.end(StatusCode.UNAVAILABLE)

    Nothing is delivered but by ``deliver``, and nothing is redelivered by itself.
    """

    which = WhichAck

    def __init__(self) -> None:
        super().__init__()
        self.streams = Inbox()
        """All streams, of the class PullStream, in the order of their first requests."""
        self.requests = Inbox()
        """All acknowledgements and extensions, of the class AckRequest, as they arrived."""
        self.acked = Inbox()
        """The ack ids that were acknowledged, in the order of the answers."""
        self.answers_pings = True
        """Whether keepalives on streams are answered, as protocol version 1 says."""
        self.ends_half_closed = True
        """Whether a stream ends, by OK, once the client sends nothing more."""
        self.on_open: Callable[[PullStream], object] = lambda stream: stream.call.accept()
        """What is done with a new stream; by default it is accepted, and nothing delivered."""
        self.accepted: list[AckRequest] = []
        """The requests that were accepted, in the order of the answers."""
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._server = GrpcServer(self._handle, streaming={"StreamingPull"})
        self.address = self._server.address

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._server.connections

    def refuse_ids(self, reason: str, *, times: int | None = None, **which: Any) -> None:
        """Refuse each id of such requests, as with exactly-once delivery, with ``reason``."""
        self._rules.append(_RefusedIds(WhichAck(**which), times, reason))

    def accept(self, request: AckRequest) -> None:
        """Accept a request that was not answered yet."""
        with self._lock:
            self.accepted.append(request)
            if request.purpose == "ack":
                for ack_id in request.ack_ids:
                    self.acked.put(ack_id)
        request.call.reply(b"")

    def requests_of(self, ack_id: str) -> list[tuple[str, int | None]]:
        """Purpose and seconds of every request that named ``ack_id``, in order of arrival."""
        return [
            (each.purpose, each.seconds) for each in self.requests.items if ack_id in each.ack_ids
        ]

    def wait_for_request(self, seconds: float = 20, **which: Any) -> AckRequest:
        """The first request that ``which`` describes, once it has arrived."""
        wanted = WhichAck(**which)
        items: Sequence[AckRequest] = self.requests.wait_until(
            lambda items: any(wanted.matches(each) for each in items), seconds
        )
        return next(each for each in items if wanted.matches(each))

    def close(self) -> None:
        self._server.close()

    def open(self, stream: PullStream) -> None:
        """Note a stream whose first request has arrived."""
        self.streams.put(stream)
        self.on_open(stream)

    def received(self, message: bytes | Mapping[str, Any]) -> Any:
        """A delivery of a message."""
        fields = {"data": message} if isinstance(message, bytes) else dict(message)
        number = next(self._ids)
        received = _ReceivedMessage(
            ack_id=f"ack-{number}", delivery_attempt=fields.get("attempt", 0)
        )
        received.message.data = fields["data"]
        received.message.message_id = fields.get("message_id", f"message-{number}")
        received.message.ordering_key = fields.get("key", "")
        return received

    def _handle(self, call: Call) -> None:
        if isinstance(call, StreamCall):
            PullStream(self, call)
        elif call.method in _REQUESTS:
            self._handle_ack(call)
        else:
            call.refuse(StatusCode.UNIMPLEMENTED, f"This server has no {call.method}.")

    def _handle_ack(self, call: Call) -> None:
        with self._lock:
            request = AckRequest(call, len(self.requests.items) + 1)
            self.requests.put(request)
            rule = self._rule_for(request)
        self._answer(rule, request)


def refuse_ids(request: AckRequest, reasons: Mapping[str, str]) -> None:
    """Answer as with exactly-once delivery: why each of these ack ids was refused."""
    status = Status(code=FAILED_PRECONDITION, message="Some acknowledgement ids failed.")
    status.details.add().Pack(ErrorInfo(reason="ACK_ID", metadata=reasons))
    request.call.refuse(
        StatusCode.FAILED_PRECONDITION,
        status.message,
        {"grpc-status-details-bin": status.SerializeToString()},
    )
