"""``rele-cli emulator`` in a process that can be killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from tests.support.project import read_until
from tests.support.servers import free_port
from tests.support.streams import SOON


class Server:
    """A server process that can be killed and started again, always on the same port.

    Args:
        data_dir: where it keeps its data; without one, a killed server comes back empty.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self.address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[str] | None = None
        self._up = threading.Event()

    def command(self, address: str | None = None) -> list[str]:
        """What starts a server on its data, at ``address`` or its own."""
        return [
            *(sys.executable, "-W", "ignore::FutureWarning", "-m", "rele", "emulator"),
            *("--host-port", address or self.address),
            *(() if self.data_dir is None else ("--data-dir", str(self.data_dir))),
        ]

    def start(self) -> None:
        self._process = subprocess.Popen(
            self.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.read_until("listening")
        self._up.set()

    def read_until(self, text: str) -> str:
        """What the server says up to the line that contains ``text``."""
        assert self._process is not None
        return read_until(self._process.stdout, text)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """``kill -9``."""
        assert self._process is not None
        self._up.clear()
        self._process.kill()
        self._end()

    def terminate(self) -> int:
        """End it with SIGTERM, and return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._end()

    def channel(self) -> grpc.Channel:
        """A new channel, once the server is up: none that waits long before it connects again."""
        assert self._up.wait(SOON)
        return grpc.insecure_channel(
            self.address,
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_receive_message_length", -1),
            ],
        )

    def call(self, method: str, request: Any) -> bytes:
        with self.channel() as channel:
            return unary(channel, method)(request)

    def _end(self) -> int:
        assert self._process is not None
        with self._process as process:
            return process.wait(SOON)


def unary(channel: grpc.Channel, method: str) -> Callable[[Any], bytes]:
    """Calls a method, and gives the serialised answer."""
    call = channel.unary_unary(f"/google.pubsub.v1.{method}")
    return lambda request: call(type(request).serialize(request), timeout=SOON)
