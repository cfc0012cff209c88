"""Where Pub/Sub is, and whether it can be reached."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rele.exceptions import ConfigurationError

DEFAULT_PORT = 443
DEFAULT_UNIVERSE = "googleapis.com"
TIMEOUT = 10.0
"""Seconds."""

_PAUSE = 0.2
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


def pubsub_address(client_options: Mapping[str, Any] | None) -> str:
    """The ``host:port`` that Google's client dials with ``client_options``.

    The emulator comes first, as it does for the client.
    """
    options = client_options or {}
    address = (
        os.environ.get("PUBSUB_EMULATOR_HOST")
        or _option(options, "api_endpoint")
        or f"pubsub.{_option(options, 'universe_domain') or DEFAULT_UNIVERSE}"
    )
    host, port = _split(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def what_to_check() -> str:
    """What to look at where that address cannot be reached."""
    if os.environ.get("PUBSUB_EMULATOR_HOST"):
        return (
            "PUBSUB_EMULATOR_HOST names that address. Start `rele-cli emulator` there, or correct "
            "it."
        )
    return "check the network, and the api_endpoint of RELE['CLIENT_OPTIONS'] if one is set."


def can_connect(address: str, timeout: float = TIMEOUT) -> bool:
    """Whether a connection to ``address`` can be made, trying again for ``timeout`` seconds.

    Behind a proxy that is not for us to find out: gRPC dials it, by the environment's variables.
    """
    host, port = _split(address)
    if any(os.environ.get(name) for name in _PROXY_VARIABLES) and not _is_local(host):
        return True
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left):
                return True
        except (OSError, UnicodeError):  # the latter: no name that could be looked up
            time.sleep(min(_PAUSE, left))
    return False


def _option(options: Any, name: str) -> Any:
    """A client option, given as a dict or as Google's ClientOptions."""
    return options.get(name) if isinstance(options, Mapping) else getattr(options, name, None)


def _split(address: str) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[::1]:port`` or a URL (``dns:///`` too)."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    if not parts.netloc:  # dns:///host:port
        parts = urlsplit(f"//{parts.path.lstrip('/')}")
    try:
        return parts.hostname or address, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise ConfigurationError(
            f"The address of Pub/Sub, {address!r}, is neither HOST nor HOST:PORT: {error}. See "
            "PUBSUB_EMULATOR_HOST and RELE['CLIENT_OPTIONS']."
        ) from error


def _is_local(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")
