"""Processes whose threads are greenlets, of gevent or of eventlet.

gRPC waits in C, which stops all greenlets. So what waits there must be threads of the system. That
is done for publishing; a worker is refused.
"""

from __future__ import annotations

import importlib
import queue
import sys
from contextlib import suppress
from typing import Any, Protocol

from rele.exceptions import ConfigurationError
from rele.runtime.queues import GreenQueue, new_queue


class Threads(Protocol):
    """The kind of threads that a process has."""

    def prepare_grpc(self) -> None:
        """Let gRPC wait so that all other threads run; called before it is used."""

    def new_event_queue(self) -> queue.SimpleQueue[Any]:
        """A queue that threads of gRPC put into, and one of Relé's threads gets from."""


class _SystemThreads:
    def prepare_grpc(self) -> None:
        """It waits in threads of its own."""

    def new_event_queue(self) -> queue.SimpleQueue[Any]:
        return new_queue()


class _Gevent(_SystemThreads):
    def prepare_grpc(self) -> None:
        """Let it wait in gevent's thread pool, and notify greenlets."""
        from grpc.experimental.gevent import init_gevent

        init_gevent()


class _Eventlet:
    """gRPC does not support eventlet: it gets threads of the system, as if nothing were patched."""

    def prepare_grpc(self) -> None:
        original: Any = sys.modules["eventlet.patcher"].original("threading")
        for name in ("grpc._channel", "grpc._plugin_wrapping", "grpc._cython.cygrpc"):
            importlib.import_module(name).__dict__["threading"] = original

    def new_event_queue(self) -> queue.SimpleQueue[Any]:
        return _SocketQueue()  # type: ignore[return-value]


class _SocketQueue(GreenQueue):
    """A queue from threads of the system to one greenlet of eventlet.

    eventlet's locks cannot wake a greenlet of another thread, so a socket does.
    """

    def __init__(self) -> None:
        super().__init__()
        original: Any = sys.modules["eventlet.patcher"].original("socket")
        self._trampoline = importlib.import_module("eventlet.hubs").trampoline
        self._read_end, self._write_end = original.socketpair()
        self._read_end.setblocking(False)
        self._write_end.setblocking(False)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # what fills it wakes the greenlet, too
            self._write_end.send(b".")

    def _wait(self, seconds: float | None) -> None:
        with suppress(queue.Empty, BlockingIOError):
            self._trampoline(self._read_end, read=True, timeout=seconds, timeout_exc=queue.Empty)
            self._read_end.recv(4096)


def threads_in_use() -> Threads:
    """The kind of threads that this process has."""
    library = _patched_by()
    if library == "gevent":
        return _Gevent()
    return _Eventlet() if library == "eventlet" else _SystemThreads()


def refuse_to_consume() -> None:
    """See that the threads of this process are threads of the system, as a worker needs them.

    Raises:
        ConfigurationError: they are greenlets.
    """
    if (library := _patched_by()) is not None:
        raise ConfigurationError(
            f"A worker cannot run in a process that {library} has patched: it needs threads of the "
            f"system, to handle messages and to extend their leases meanwhile. Start it without "
            f"{library}'s monkey patching. Publishing works with it."
        )


def _patched_by() -> str | None:
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return "gevent"
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return None
