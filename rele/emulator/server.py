"""The server on the event loop that it is started on."""

import asyncio
import errno
import functools
import socket
from collections.abc import Callable
from pathlib import Path

import grpc.aio

from rele.emulator.exceptions import BindError, PortInUseError
from rele.emulator.resources.housekeeping import Housekeeping
from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry
from rele.emulator.rpc.alarm import backlog_on_loop
from rele.emulator.rpc.publisher import PublisherService
from rele.emulator.rpc.schemas import SchemaService
from rele.emulator.rpc.subscriber import SubscriberService
from rele.emulator.rpc.unserved import UnservedMethods
from rele.emulator.rules.refusals import UnavailableError
from rele.emulator.status.report import status_handler

# Room for requests well above what is allowed, which are then refused by name: gRPC's own
# refusal is RESOURCE_EXHAUSTED, without a helpful text.
_MAX_REQUEST_BYTES = 64 * 1024 * 1024

_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # As Google's front end: what is begun on a connection beyond these waits until another ends.
    ("grpc.max_concurrent_streams", 100),
    # Two servers on one port would share its connections, each without the other's topics.
    ("grpc.so_reuseport", 0),
    # Google's clients ping every 30 s, on streams without messages, too; by default gRPC
    # servers end such a connection.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # A client that vanished or hangs keeps its messages leased until that is noticed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
)

_LAST_TASKS_SECONDS = 1.0

_LAST_PORT = 65535

_SHUTTING_DOWN = "The server is shutting down."


class Server:
    """The Publisher and Subscriber services and their state, on one port.

    Made and used on one event loop. Without a ``data_dir`` everything is in memory; with one it
    continues with the state of an earlier server, and ``on_progress`` is called with a line about
    each long step of loading it. Raises ``DataDirError`` where the directory cannot be used.
    """

    def __init__(
        self, data_dir: Path | None = None, on_progress: Callable[[str], None] = lambda line: None
    ) -> None:
        loop = asyncio.get_running_loop()
        new_backlog = functools.partial(backlog_on_loop, loop)
        if data_dir is None:
            self._registry = Registry(new_backlog)
            snapshots = SnapshotRegistry(self._registry)
        else:
            from rele.emulator.storage.restoring import open_registries

            self._registry, snapshots = open_registries(loop, data_dir, new_backlog, on_progress)
        self._housekeeping = Housekeeping(loop.call_later, self._registry, snapshots)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(
            (
                PublisherService(self._registry, snapshots).service().generic_handler(),
                SubscriberService(self._registry, snapshots).service().generic_handler(),
                SchemaService().service().generic_handler(),
                status_handler(self._registry),
                UnservedMethods(),
            )
        )

    async def start(self, host: str, port: int) -> str:
        """Listen, and return the address as ``HOST:PORT``. Port 0 takes a free one.

        Raises ``PortInUseError`` if another program listens there, ``BindError`` for any other
        reason not to.
        """
        address = _join(host, port)
        _probe(host, port, address)
        try:
            bound = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise BindError(address, str(error)) from error
        await self._server.start()
        self._housekeeping.start()
        return _join(host, bound)

    async def stop(self, grace: float = 1.0) -> None:
        """Refuse new calls, end streams as UNAVAILABLE, and answer the calls in progress.

        Calls that last longer than ``grace`` seconds are cancelled. All changes are on disk then.
        """
        self._housekeeping.stop()
        self._registry.shut_down(UnavailableError(_SHUTTING_DOWN))
        await self._server.stop(grace)
        await self._registry.journal.close()


async def serve_until(
    stopping: asyncio.Event,
    host: str,
    port: int,
    on_started: Callable[[str], None],
    data_dir: Path | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve on the running loop, which is for this alone, until ``stopping`` is set.

    ``on_started`` is called with the address once it can be used. Raises what ``Server`` and
    ``Server.start`` raise.
    """
    server = Server(data_dir, on_progress)
    try:
        on_started(await server.start(host, port))
        await stopping.wait()
    finally:
        await server.stop()
    # gRPC's own tasks end a moment after the server. Each logs an error if the loop ends first.
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=_LAST_TASKS_SECONDS)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _probe(host: str, port: int, address: str) -> None:
    """Raise the reason if the address cannot be used, which gRPC does not report."""
    if not 0 <= port <= _LAST_PORT:
        raise BindError(address, f"a port is a number from 0 to {_LAST_PORT}.")
    try:
        candidates = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise BindError(address, error.strerror or str(error)) from error
    for family, kind, protocol, _, where in candidates:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(address) from error
            if len(candidates) == 1:
                raise BindError(address, error.strerror or str(error)) from error
