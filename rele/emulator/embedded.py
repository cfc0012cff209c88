"""The server in a thread of the calling process."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from rele.emulator.exceptions import EmulatorError
from rele.emulator.server import serve_until


class EmbeddedServer:
    """A server with a thread and an event loop of its own, for tests and in-process use.

    ``with EmbeddedServer() as server:`` starts it, ready to be called at ``server.address``
    (``HOST:PORT``), and stops it at the end; ``start`` and ``stop`` do the same as calls. It can
    be started once. ``address`` raises ``EmulatorError`` before the start. Everything is in
    memory, or kept in ``data_dir``.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, data_dir: Path | None = None
    ) -> None:
        self._data_dir = data_dir
        self._host = host
        self._port = port
        self._started: Future[str] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="pubsub-emulator", daemon=True)

    @property
    def address(self) -> str:
        """``HOST:PORT``, as ``PUBSUB_EMULATOR_HOST`` wants it."""
        if self._thread.ident is None:
            raise EmulatorError("The Pub/Sub emulator was not started.")
        return self._started.result()

    def start(self) -> str:
        """Start the server and return its address.

        Raises ``DataDirError`` if the data directory cannot be used, ``PortInUseError`` if another
        program listens there, ``BindError`` for any other reason not to.
        """
        self._thread.start()
        return self._started.result()

    def stop(self) -> None:
        """End streams as UNAVAILABLE and stop. Does nothing if it was never started."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> "EmbeddedServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await serve_until(
            self._stopping,
            self._host,
            self._port,
            self._started.set_result,
            self._data_dir,
        )
