"""The address of Pub/Sub, emulator or service, and whether it can be reached."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rele.exceptions import ConfigurationError

EMULATOR_VARIABLE = "PUBSUB_EMULATOR_HOST"
"""The variable that names the emulator. Only this module reads it."""

DEFAULT_PORT = 443
LAST_PORT = 65535
DEFAULT_UNIVERSE = "googleapis.com"
TIMEOUT = 10.0
"""Seconds."""

WITHOUT_PROXY = ("grpc.enable_http_proxy", 0)
"""The gRPC option of a connection that ignores the environment's proxies."""

_PAUSE = 0.2
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTION_VARIABLES = ("no_grpc_proxy", "no_proxy")
"""The variables that gRPC reads: in each row, the first that is set."""

_EMULATOR_ADDRESS = re.compile(
    r"(?:http://|dns:///)?(?P<host>\[[^\s/\[\]@]+\]|[^\s/\[\]@:]+):(?P<port>[0-9]{1,5})/?"
)


def emulator_named() -> str | None:
    """The unparsed address of the emulator in the environment; ``None`` if there is none."""
    return os.environ.get(EMULATOR_VARIABLE) or None


def uses_emulator() -> bool:
    """Whether a client that is made now uses an emulator, and so needs no credentials."""
    return emulator_named() is not None


def emulator_address() -> str | None:
    """The ``host:port`` of the emulator; ``None`` if the environment names none.

    Raises:
        ConfigurationError: the environment names something that is not an address.
    """
    named = emulator_named()
    if named is None:
        return None
    return joined(*host_and_port(named, EMULATOR_VARIABLE))


def host_and_port(text: str, source: str) -> tuple[str, int]:
    """The host (an IPv6 address without brackets) and the port of ``text``, given by ``source``.

    Accepts ``HOST:PORT``, ``[::1]:PORT`` and ``http://HOST:PORT/``.

    Raises:
        ConfigurationError: ``text`` is not such an address.
    """
    match = _EMULATOR_ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"{source} needs HOST:PORT, such as 127.0.0.1:8085, not {text!r}.")
    if int(match["port"]) > LAST_PORT:
        raise ConfigurationError(f"{source} is {text!r}: a port is a number from 0 to {LAST_PORT}.")
    return match["host"].strip("[]"), int(match["port"])


def joined(host: str, port: int) -> str:
    """``host:port``, with the brackets of an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def pubsub_address(client_options: Mapping[str, Any] | None) -> str:
    """The ``host:port`` that Google's client connects to with ``client_options``.

    An emulator takes precedence, as it does for the client.

    Raises:
        ConfigurationError: the configured address is not valid.
    """
    if emulator := emulator_address():
        return emulator
    options = client_options or {}
    return joined(*_split(_option(options, "api_endpoint") or _global_host(options)))


def is_global(address: str, client_options: Mapping[str, Any] | None) -> bool:
    """Whether ``address`` is Pub/Sub's global endpoint, and not that of a region or an emulator.

    ``address`` is that of :func:`pubsub_address` with ``client_options``.
    """
    return _split(address)[0] == _global_host(client_options or {})


def is_loopback(address: str) -> bool:
    """Whether ``address``, as in :func:`pubsub_address`, is on this machine."""
    host, _ = _split(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxy_before(address: str) -> tuple[str, str] | None:
    """The variable and the URL of the proxy that gRPC uses for ``address``, if there is one.

    Emulators and addresses on this machine are reached without a proxy: see
    :data:`WITHOUT_PROXY`.
    """
    host, _ = _split(address)
    if emulator_named() is not None or is_loopback(address):
        return None
    variable = _first_set(_PROXY_VARIABLES)
    if variable is None or any(map(host.endswith, _hosts_without_proxy())):
        return None
    url = os.environ[variable]
    # gRPC ignores proxies with any other scheme.
    return (variable, url) if urlsplit(url).scheme == "http" else None


def what_to_check(address: str) -> str:
    """Advice on what to check if ``address`` cannot be reached."""
    if emulator_named() is not None:
        return (
            f"{EMULATOR_VARIABLE} names that address. Start `rele-cli emulator` there, or correct "
            "it."
        )
    if proxy := proxy_before(address):
        variable, url = proxy
        return (
            f"the environment's {variable} leads there through the proxy {_without_password(url)}. "
            "Check the proxy, or list the host in no_proxy."
        )
    return "check the network, and the api_endpoint of RELE['CLIENT_OPTIONS'] if one is set."


def can_connect(address: str, timeout: float = TIMEOUT) -> bool:
    """Whether a connection to ``address`` can be made, with retries for ``timeout`` seconds.

    If gRPC uses a proxy, whether a connection to the proxy can be made.
    """
    host, port = _split(address)
    if proxy := proxy_before(address):
        parts = urlsplit(proxy[1])
        host, port = parts.hostname or host, parts.port or 80
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left):
                return True
        except (OSError, UnicodeError):  # UnicodeError: the host name is not valid
            time.sleep(min(_PAUSE, left))
    return False


def _global_host(options: Any) -> str:
    return f"pubsub.{_option(options, 'universe_domain') or DEFAULT_UNIVERSE}"


def _option(options: Any, name: str) -> Any:
    """A client option, given as a dict or as Google's ClientOptions."""
    return options.get(name) if isinstance(options, Mapping) else getattr(options, name, None)


def _split(address: str) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[::1]:port`` or a URL (``dns:///`` too)."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        if not parts.netloc:  # dns:///host:port
            parts = urlsplit(f"//{parts.path.lstrip('/')}")
        return parts.hostname or address, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise ConfigurationError(
            f"The address of Pub/Sub, {address!r}, is neither HOST nor HOST:PORT: {error}. See "
            "the api_endpoint of RELE['CLIENT_OPTIONS']."
        ) from error


def _first_set(variables: tuple[str, ...]) -> str | None:
    return next((name for name in variables if os.environ.get(name)), None)


def _hosts_without_proxy() -> list[str]:
    variable = _first_set(_EXCEPTION_VARIABLES)
    entries = os.environ[variable].split(",") if variable else []
    return [entry.strip() for entry in entries if entry.strip()]


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
