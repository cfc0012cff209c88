"""An HTTP server in a thread, for probes and scrapes: GET and HEAD, and nothing that changes."""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from rele.endpoint import joined
from rele.exceptions import ConfigurationError
from rele.status.replies import Reply

logger = logging.getLogger(__name__)

Address = tuple[str, int]
"""A host, or an empty one for all interfaces, and a port; port 0 is a free one."""

_TIMEOUT = 5.0
"""Seconds that a client may take for its request."""

_END_SECONDS = 1.0
"""Seconds that its thread may take to end."""

_CONNECTIONS = 100
"""How many are open at a time; beyond that one is closed without an answer."""


@contextmanager
def answering(address: Address, reply: Callable[[str], Reply]) -> Iterator[str]:
    """Within the block, answer GETs at ``address``; gives the ``host:port`` that it listens on.

    Args:
        address: where to listen.
        reply: gets the path of a request; called in several threads.

    Raises:
        ConfigurationError: it cannot listen there.
    """
    try:
        listener = _listener(*address)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(_explain(address, error)) from error
    listener.setblocking(False)  # a client may have gone before its connection is accepted
    host, port = listener.getsockname()[:2]
    # A child that outlives this process would keep the port from the next one.
    os.register_at_fork(after_in_child=listener.close)
    with listener, _until_ended(_Server(listener, reply)):
        yield joined(host, port)


@contextmanager
def _until_ended(server: _Server) -> Iterator[None]:
    """Within the block, serve in a thread, whose end takes no time, unlike ``shutdown()``."""
    reader, writer = socket.socketpair()
    thread = threading.Thread(target=_serve, args=(server, reader), name="rele-health", daemon=True)
    with reader, writer:
        thread.start()
        try:
            yield
        finally:
            writer.send(b"\0")
            thread.join(_END_SECONDS)


def _serve(server: _Server, end: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        for each in (end, server.socket):
            selector.register(each, selectors.EVENT_READ)
        while all(key.fileobj is not end for key, _ in selector.select()):
            server.handle_request()


def _listener(host: str, port: int) -> socket.socket:
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    if socket.has_dualstack_ipv6():
        # A machine may have no IPv6 address although its system knows IPv6.
        with suppress(OSError):
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_CONNECTIONS
            )
    return socket.create_server(("", port), backlog=_CONNECTIONS)


def _explain(address: Address, error: Exception) -> str:
    host, port = address
    given = joined(host, port) if host else str(port)
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return (
            f"--health-port {given}: another process listens on this port already. Stop that, or "
            "choose another port."
        )
    if number == errno.EACCES:
        return f"--health-port {given}: this user may not listen there. Choose a port from 1024 on."
    reason = getattr(error, "strerror", None) or error
    return f"--health-port {given}: this process cannot listen there: {reason}."


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    timeout = 0
    """Seconds that it waits for a connection: it is asked only once there is one."""

    def __init__(self, listener: socket.socket, reply: Callable[[str], Reply]) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.reply = reply
        self._places = threading.BoundedSemaphore(_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("A request of %s failed.", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "rele"
    sys_version = ""
    timeout = _TIMEOUT

    def do_GET(self) -> None:
        body = self._send_head()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self._send_head()

    def _send_head(self) -> bytes:
        reply = self.server.reply(urlsplit(self.path).path)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        return reply.body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server calls it
        logger.debug(format, *args)
