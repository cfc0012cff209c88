"""A Google Cloud Pub/Sub server for development and tests.

It speaks the Publisher and Subscriber services of ``google.pubsub.v1`` over gRPC, in memory or
kept in a directory, to any client library that honours ``PUBSUB_EMULATOR_HOST``.

* ``serve(host, port, on_started)`` runs it in the calling process until SIGTERM or SIGINT.
* ``ask_status(address)`` asks a running one for its topics, subscriptions and numbers of messages.
* ``EmbeddedServer()`` runs it in a thread, as a context manager.

The names are resolved on first use, so that importing this package costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rele.emulator.embedded import EmbeddedServer
    from rele.emulator.exceptions import (
        BindError,
        DataDirError,
        EmulatorError,
        PortInUseError,
        StatusError,
    )
    from rele.emulator.foreground import serve
    from rele.emulator.status.query import ask_status

__all__ = [
    "BindError",
    "DataDirError",
    "EmbeddedServer",
    "EmulatorError",
    "PortInUseError",
    "StatusError",
    "ask_status",
    "serve",
]

_HOMES = {
    "BindError": "exceptions",
    "DataDirError": "exceptions",
    "EmbeddedServer": "embedded",
    "EmulatorError": "exceptions",
    "PortInUseError": "exceptions",
    "StatusError": "exceptions",
    "ask_status": "status.query",
    "serve": "foreground",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
