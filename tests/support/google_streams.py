"""Google's own StreamingPullFuture, on a stream that a test opens, feeds and kills."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from google.cloud.pubsub_v1.subscriber.futures import StreamingPullFuture


class Stream:
    """Stands for Google's manager of a stream: it shuts its scheduler down when it ends."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self._on_close: list[Callable[[Any, Any], None]] = []
        self._is_closing = False
        self.thread: threading.Thread | None = None
        self.future = StreamingPullFuture(self)  # type: ignore[no-untyped-call]

    def add_close_callback(self, callback: Callable[[Any, Any], None]) -> None:
        self._on_close.append(callback)

    def close(self, reason: BaseException | None = None) -> None:
        """Begin to end, in a thread of its own, as Google's does."""
        if self._is_closing:
            return
        self._is_closing = True
        self.thread = threading.Thread(target=self._shut_down, args=[reason])
        self.thread.start()

    @property
    def is_open(self) -> bool:
        """Whether it has not begun to end."""
        return not self._is_closing

    def begin_to_die(self, error: BaseException) -> None:
        """Begin to end by an error, and return when handlers are waited for."""
        waits, on_shutdown = threading.Event(), self.scheduler.on_shutdown
        self.scheduler.on_shutdown = lambda: [on_shutdown(), waits.set()]
        self.close(error)
        assert waits.wait(10)

    def die(self, error: BaseException | None) -> None:
        """End by an error, and be through with it."""
        self.close(error)
        self.finish()

    def finish(self) -> None:
        """Return when it has ended."""
        self.close()
        if self.thread is not None:
            self.thread.join(10)

    def _shut_down(self, reason: BaseException | None) -> None:
        self.scheduler.shutdown()
        for callback in self._on_close:
            callback(self, reason)
