"""The servers that are compared, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import grpc

_USUAL_PLACES = (
    "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib",
    "~/google-cloud-sdk/platform/pubsub-emulator/lib",
)

_START_SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """A server by name, and the arguments that start it.

    ``{port}`` in them is a free port, ``{folder}`` an empty folder that is removed afterwards.
    """

    name: str
    arguments: tuple[str, ...]


RELE = Kind(
    "Relé, in memory",
    (sys.executable, "-m", "rele", "emulator", "--host-port", "127.0.0.1:{port}"),
)

RELE_ON_DISK = Kind("Relé, on disk", (*RELE.arguments, "--data-dir", "{folder}"))


def google() -> Kind:
    """Google's emulator. Raises ``LookupError`` where it is not installed."""
    jar, java = _jar(), shutil.which("java")
    if jar is None or java is None:
        raise LookupError(
            "Google's emulator is not installed: it needs java, and its jar at the usual place "
            "or named by GOOGLE_PUBSUB_EMULATOR_JAR."
        )
    return Kind("Google's", (java, "-jar", str(jar), "--host=127.0.0.1", "--port={port}"))


@dataclass(frozen=True)
class Running:
    """A server that has answered: ``start_seconds`` after its command was given."""

    kind: Kind
    address: str
    start_seconds: float
    process: subprocess.Popen[bytes]

    def rss_megabytes(self) -> float:
        """What is resident of it now; 1 MB is 1,048,576 bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise LookupError("The server has ended.")


@contextlib.contextmanager
def running(kind: Kind) -> Iterator[Running]:
    """Run a server, and kill it in the end."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [each.format(port=port, folder=folder) for each in kind.arguments]
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        try:
            _wait_for_answer(process, port)
            seconds = time.perf_counter() - began
            yield Running(kind, f"127.0.0.1:{port}", seconds, process)
        finally:
            process.kill()
            process.wait()


def _wait_for_answer(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once an RPC has been answered, whatever the answer."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with closing(socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.005)
    # Not the shared connections: one to a former server on the port would wait before it tries.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        list_topics: Any = channel.unary_unary("/google.pubsub.v1.Publisher/ListTopics")
        list_topics(b"\n\x0aprojects/p", timeout=_START_SECONDS)


def _jar() -> Path | None:
    if given := os.environ.get("GOOGLE_PUBSUB_EMULATOR_JAR"):
        return Path(given)
    for place in _USUAL_PLACES:
        if jars := sorted(Path(place).expanduser().glob("cloud-pubsub-emulator-*.jar")):
            return jars[-1]
    return None


def _free_port() -> int:
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
