"""Pub/Sub servers for the tests: the embedded one, and Google's emulator where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rele.emulator import EmbeddedServer

_USUAL_PLACES = (
    "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib",
    "~/google-cloud-sdk/platform/pubsub-emulator/lib",
)
_START_SECONDS = 60

_missing: set[str] = set()


def missing_requirements() -> list[str]:
    """A line for each server or program that tests were skipped for."""
    return sorted(_missing)


def note_missing(lines: Iterable[str]) -> None:
    """Add what another process of the same test run has found missing."""
    _missing.update(lines)


def skip_for_missing(name: str, variable: str) -> None:
    """Skip the test because ``name`` is not installed, or fail where ``variable`` is ``1``."""
    reason = f"SKIPPED, because not installed: {name} ({variable}=1 makes this a failure)"
    if os.environ.get(variable) == "1":
        pytest.fail(f"{name} is not installed, and {variable}=1 requires it")
    _missing.add(reason)
    pytest.skip(reason)


@contextmanager
def started(kind: str) -> Iterator[str]:
    """Run a server of that kind (``embedded`` or ``google``) and give its address."""
    if kind == "embedded":
        with EmbeddedServer() as server:
            yield server.address
    else:
        with _google_emulator() as address:
            yield address


@contextmanager
def _google_emulator() -> Iterator[str]:
    jar, java = _emulator_jar(), shutil.which("java")
    if jar is None or java is None:
        skip_for_missing("Google's Pub/Sub emulator", "RELE_REQUIRE_GOOGLE_EMULATOR")
    port = free_port()
    process = subprocess.Popen(
        [str(java), "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _emulator_jar() -> Path | None:
    if given := os.environ.get("GOOGLE_PUBSUB_EMULATOR_JAR"):
        return Path(given) if Path(given).is_file() else None
    for place in _USUAL_PLACES:
        if jars := sorted(Path(place).expanduser().glob("cloud-pubsub-emulator-*.jar")):
            return jars[-1]
    return None


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, seconds: float = _START_SECONDS) -> None:
    """Return once somebody listens on the port.

    Raises:
        TimeoutError: nobody does within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with closing(socket.socket()) as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"Nobody listens on port {port} after {seconds} s.")
