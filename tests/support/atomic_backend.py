"""A backend that takes messages by one atomic operation, and sends them in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from rele.backends import BaseBackend, Message, Report


class LockFreeFuture(Future[str]):
    """Without the lock that an interrupted thread could leave held."""

    _outcome: tuple[str | None, BaseException | None] | None = None

    def done(self) -> bool:
        return self._outcome is not None

    def cancelled(self) -> bool:
        return False

    def exception(self, timeout: float | None = None) -> BaseException | None:
        assert self._outcome is not None
        return self._outcome[1]

    def result(self, timeout: float | None = None) -> str:
        assert self._outcome is not None
        return str(self._outcome[0])

    def settle(self, error: BaseException | None) -> None:
        self._outcome = ("message", None) if error is None else (None, error)


class AtomicBackend(BaseBackend):
    """Accepts what it is given, in order; a test may hold it back.

    Args:
        config: not used.
    """

    def __init__(self, config: Any = None) -> None:
        self.sent: list[Message] = []
        self.error: BaseException | None = None
        """What becomes of the next messages."""
        self.is_released = False
        self.may_send = threading.Event()
        self.may_send.set()
        self._intake: SimpleQueue[list[tuple[Message, LockFreeFuture, Report]] | None] = (
            SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        raise AssertionError("A publisher hands messages over.")

    def hand_over(
        self,
        messages: Sequence[Message],
        reports: Sequence[Report],
        *,
        timeout: float,
        at_once: bool,
    ) -> list[LockFreeFuture]:
        futures = [LockFreeFuture() for _ in messages]
        self._intake.put([*zip(messages, futures, reports, strict=True)])
        return futures

    def release(self) -> None:
        self.is_released = True
        self._intake.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        while (batch := self._intake.get()) is not None:
            self.may_send.wait()
            for message, future, report in batch:
                self.sent.append(message)
                future.settle(self.error)
                report(future)
