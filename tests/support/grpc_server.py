"""gRPC calls, served over HTTP/2 without gRPC: a test sees what is on the wire.

gRPC's own server hides the compression, the deadline that was asked for and the connections, and
its threads would be those of the test's process.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import socket
import threading
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from grpc import StatusCode
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

if TYPE_CHECKING:
    from typing_extensions import Self

_BUFFER = 1 << 18
STREAMS_OF_CONNECTION = 100
"""As Google's front end allows."""
_WINDOW = 1 << 24
"""Bytes that a client may send before it has to wait for the server."""
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_Trailers = list[tuple[str, str]]
_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


@dataclass(eq=False)
class Call:
    """One call, and its answer; both methods that answer may be called from any thread, once."""

    method: str
    """Such as ``Publish``, without the service."""
    headers: dict[str, str]
    connection: int
    """Which of the server's connections it came by; from 1."""
    peer: tuple[str, int]
    _connection: _Connection
    _stream: int
    at: float = 0.0
    """When the request was complete, by ``time.monotonic``."""
    body: bytes = b""
    """The request, uncompressed."""
    wire_bytes: int = 0
    """The length of the request as it was sent, compressed or not."""
    _pieces: list[bytes] = field(default_factory=list)
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when the client gives the call up, by a deadline too, and when its connection ends."""

    @property
    def encoding(self) -> str:
        """``identity`` or ``gzip``."""
        return self.headers.get("grpc-encoding", "identity")

    @property
    def timeout(self) -> float | None:
        """The seconds that the client gives the call."""
        text = self.headers.get("grpc-timeout")
        return None if text is None else int(text[:-1]) * _SECONDS[text[-1]]

    def reply(self, response: bytes) -> None:
        """Answer with a serialised message."""
        framed = b"\0" + len(response).to_bytes(4, "big") + response
        self._connection.answer(self._stream, framed, [("grpc-status", "0")])

    def refuse(
        self, code: StatusCode, details: str = "", metadata: Mapping[str, bytes] | None = None
    ) -> None:
        """Answer with an error; the names in ``metadata`` end with ``-bin``."""
        status = [("grpc-status", str(code.value[0])), ("grpc-message", quote(details, safe=" "))]
        for name, value in (metadata or {}).items():
            status.append((name, base64.b64encode(value).decode().rstrip("=")))
        self._connection.answer(self._stream, b"", status)

    def close_connection(self) -> None:
        """End the connection that the call came by, with all calls on it."""
        self._connection.close()

    def add(self, data: bytes) -> _Event | None:
        """Add what has arrived of the request."""
        self._pieces.append(data)
        return None

    def complete(self) -> _Event | None:
        """Take the request out of its frame."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        is_compressed, framed = data[0], data[5:]
        self.at = time.monotonic()
        self.wire_bytes = len(framed)
        self.body = gzip.decompress(framed) if is_compressed else framed
        return self._connection.received(self)


@dataclass(eq=False)
class StreamCall(Call):
    """A call with any number of requests and responses.

    Whoever is called with it sets ``on_request`` and ``on_half_close`` at once. :meth:`refuse` ends
    it, with any code.
    """

    on_request: Callable[[bytes], object] = lambda request: None
    on_half_close: Callable[[], object] = lambda: None
    _received: bytes = b""

    def accept(self) -> None:
        """Send the initial metadata."""
        self._connection.begin_answer(self._stream)

    def reply(self, response: bytes) -> None:
        """Send a response; the stream stays open."""
        framed = b"\0" + len(response).to_bytes(4, "big") + response
        self._connection.send_on(self._stream, framed)

    def add(self, data: bytes) -> _Event | None:
        self._received += data
        requests = []
        while len(self._received) >= _PREFIX:
            end = _PREFIX + int.from_bytes(self._received[1:_PREFIX], "big")
            if len(self._received) < end:
                break
            requests.append(self._received[_PREFIX:end])
            self._received = self._received[end:]
        return lambda: [self.on_request(request) for request in requests]

    def complete(self) -> _Event | None:
        return lambda: self.on_half_close()


_Event = Callable[[], object]
_PREFIX = 5
"""Bytes before each message: whether it is compressed, and its length."""


class _Connection:
    """One client's connection, and the thread that reads it."""

    def __init__(
        self,
        number: int,
        client: socket.socket,
        on_call: Callable[[Call], None],
        streaming: Container[str],
    ) -> None:
        self._number = number
        self._socket = client
        self._on_call = on_call
        self._streaming = streaming
        self._lock = threading.Lock()
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._calls: dict[int, Call] = {}
        self._unsent: dict[int, tuple[bytes, _Trailers | None]] = {}
        """For each stream the rest of its response, and its trailers if they are known."""
        self._begun: set[int] = set()
        """The streams whose answers have begun."""
        self._over: set[int] = set()
        """The streams that have ended, so that nothing more can be sent on them."""
        self.is_open = True

    def start(self) -> None:
        """Begin to read, and let the client know that it is connected."""
        threading.Thread(target=self._read, daemon=True).start()

    def received(self, call: Call) -> _Event:
        """What to do once a unary call is complete."""
        return lambda: self._on_call(call)

    def begin_answer(self, stream: int) -> None:
        """Send the initial metadata of a call."""
        self.send_on(stream, b"")

    def send_on(self, stream: int, data: bytes, trailers: _Trailers | None = None) -> None:
        """Send a part of an answer, and the end of it with the trailers."""
        with self._lock, suppress(OSError, H2Error):
            if stream in self._over:
                return
            if stream not in self._begun:
                self._begun.add(stream)
                self._http.send_headers(stream, _HEADERS)
            self._unsent[stream] = (self._unsent.get(stream, (b"", None))[0] + data, trailers)
            self._send()

    def answer(self, stream: int, response: bytes, trailers: _Trailers) -> None:
        """Send the whole rest of an answer; nothing where the client waits no longer."""
        self._calls.pop(stream, None)
        self.send_on(stream, response, trailers)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        with suppress(OSError, H2Error):
            self._begin()
            while data := self._socket.recv(_BUFFER):
                with self._lock:
                    events = [self._handle(event) for event in self._http.receive_data(data)]
                    self._send()
                for event in filter(None, events):
                    event()
        self.is_open = False
        self.close()
        for call in list(self._calls.values()):
            call.is_cancelled.set()

    def _begin(self) -> None:
        with self._lock:
            settings = {
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_OF_CONNECTION,
            }
            self._http.local_settings = Settings(client=False, initial_values=settings)
            self._http.initiate_connection()
            self._http.increment_flow_control_window(_WINDOW)
            self._send()

    def _handle(self, event: Event) -> _Event | None:
        """What to do about it once the lock is free."""
        if isinstance(event, RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            method = headers[":path"].rpartition("/")[2]
            kind = StreamCall if method in self._streaming else Call
            call = self._calls[event.stream_id] = kind(
                method, headers, self._number, self._socket.getpeername(), self, event.stream_id
            )
            if isinstance(call, StreamCall):
                call.at = time.monotonic()
                return self.received(call)
        elif isinstance(event, DataReceived):
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if known := self._calls.get(event.stream_id):
                return known.add(event.data)
        elif isinstance(event, StreamReset):
            self._over.add(event.stream_id)
            self._unsent.pop(event.stream_id, None)
            if call := self._calls.pop(event.stream_id, None):
                call.is_cancelled.set()
        elif isinstance(event, StreamEnded) and (known := self._calls.get(event.stream_id)):
            return known.complete()
        return None

    def _send(self) -> None:
        """Send as much as the client's windows allow."""
        for stream, (rest, trailers) in list(self._unsent.items()):
            while rest and (room := self._http.local_flow_control_window(stream)):
                piece = rest[: min(room, self._http.max_outbound_frame_size)]
                self._http.send_data(stream, piece)
                rest = rest[len(piece) :]
            self._unsent[stream] = (rest, trailers)
            if not rest and trailers is not None:
                self._http.send_headers(stream, trailers, end_stream=True)
                self._over.add(stream)
                del self._unsent[stream]
        if data := self._http.data_to_send():
            self._socket.sendall(data)


class GrpcServer:
    """Listens on a free port of the loopback address; ``on_call`` is called for each request.

    It may answer the call at once, or leave that to another thread.

    Args:
        on_call: called with each call: once its request is complete, or has begun if it is a
            StreamCall.
        streaming: the methods whose calls are StreamCalls.
    """

    def __init__(
        self, on_call: Callable[[Call], None], streaming: Container[str] = frozenset()
    ) -> None:
        self._on_call = on_call
        self._streaming = streaming
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[_Connection] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return len(self._connections)

    @property
    def open_connections(self) -> int:
        return sum(connection.is_open for connection in self._connections)

    def close(self) -> None:
        """Close the port and all connections; calls that are not answered stay so."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            for number in itertools.count(1):
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = _Connection(number, client, self._on_call, self._streaming)
                self._connections.append(connection)  # counted before the client knows of it
                connection.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
