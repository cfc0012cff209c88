"""A TCP proxy whose connections a test can cut, let go silent, or make slow."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time

_BUFFER = 65536


class _Connection:
    """A client's connection and ours to the target, until one of the two closes."""

    def __init__(
        self, client: socket.socket, target: socket.socket, is_silent: bool, latency: float
    ) -> None:
        self._latency = latency
        self._sockets = (client, target)
        self._target = target
        self._passes = threading.Event()
        self._is_closed = False
        if not is_silent:
            self._passes.set()
        for source, sink in ((client, target), (target, client)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def silence(self) -> None:
        """Stay open for the client, and pass no byte any more."""
        self._passes.clear()
        _close(self._target)

    def close(self) -> None:
        self._is_closed = True
        self._passes.set()
        for each in self._sockets:
            _close(each)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        received: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        if self._latency:
            threading.Thread(target=self._deliver, args=(received, sink), daemon=True).start()
        data = b"-"
        while data:
            data = b""
            with contextlib.suppress(OSError):
                data = source.recv(_BUFFER)
            if self._latency:
                received.put((time.monotonic() + self._latency, data))
            else:
                self._pass_on(data, sink)

    def _deliver(
        self, received: queue.SimpleQueue[tuple[float, bytes]], sink: socket.socket
    ) -> None:
        """Pass on what was received, each piece in its time: a slow line still takes much."""
        data = b"-"
        while data:
            at, data = received.get()
            time.sleep(max(at - time.monotonic(), 0))
            self._pass_on(data, sink)

    def _pass_on(self, data: bytes, sink: socket.socket) -> None:
        self._passes.wait()
        if data and not self._is_closed:
            with contextlib.suppress(OSError):
                sink.sendall(data)
        elif not data:
            self.close()


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Proxy:
    """Listens on a port of the loopback address, and passes all on.

    Args:
        target: where to, a HOST:PORT.
        latency: seconds that each byte takes, in both directions.
    """

    def __init__(self, target: str, latency: float = 0.0) -> None:
        self._latency = latency
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._is_stalled = False
        self._listener: socket.socket | None = None
        self._port = 0
        self.resume()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        with self._lock:
            if self._listener is not None:
                _close(self._listener)
                self._listener = None
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def stall(self) -> None:
        """Let every connection, and new ones, stay open, and pass no byte any more.

        As when the power fails at the other end, and the client is not notified.
        """
        with self._lock:
            self._is_stalled = True
            for connection in self._connections:
                connection.silence()

    def resume(self) -> None:
        """Pass new connections on; those that were stalled stay silent."""
        with self._lock:
            self._is_stalled = False
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self._port))
                self._port = self._listener.getsockname()[1]
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    target = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    if listener is not self._listener:
                        client.close()
                        target.close()
                        return
                    self._connections.append(self._connect(client, target))

    def _connect(self, client: socket.socket, target: socket.socket) -> _Connection:
        return _Connection(client, target, self._is_stalled, self._latency)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        self.cut()
