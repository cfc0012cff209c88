"""The server as a process of its own."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from rele.emulator.server import serve_until

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    host: str,
    port: int,
    on_started: Callable[[str], None],
    data_dir: Path | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> int:
    """Run the server until SIGTERM or SIGINT, and return the exit status 0.

    Called from the main thread. ``on_started`` is called with the address (``HOST:PORT``, the
    actual port if 0 was requested) once the server can be used. At the signal, requests in
    progress are completed and streams end as UNAVAILABLE, so that clients reconnect; a second
    signal ends the process at once.

    Everything is in memory, or kept in ``data_dir``; ``on_progress`` is called with a line about
    each long step of opening it.

    Raises ``DataDirError`` if the directory cannot be used, ``PortInUseError`` if another program
    listens there, ``BindError`` for any other reason not to.
    """
    asyncio.run(_serve(host, port, on_started, data_dir, on_progress))
    return 0


async def _serve(
    host: str,
    port: int,
    on_started: Callable[[str], None],
    data_dir: Path | None,
    on_progress: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        stopping.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    await serve_until(stopping, host, port, on_started, data_dir, on_progress)
