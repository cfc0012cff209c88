"""A publisher backend as a user might write one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from rele.backends import BaseBackend, Message
from rele.sending.backend_answers import outcomes_of


class HeldBackend(BaseBackend):
    """Keeps what it is given; a test says what becomes of it, at once or later."""

    def __init__(self, config: Any = None) -> None:
        self.config = config
        self.messages: list[Message] = []
        self.futures: list[Future[str]] = []
        self.flushes: list[float | None] = []
        self.outcome: str | BaseException | None = None
        """What is known of a message as soon as it is given, or when all is flushed."""
        self.settles_at_flush = False

    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        futures: list[Future[str]] = [Future() for _ in messages]
        self.messages += messages
        self.futures += futures
        if not self.settles_at_flush:
            self._settle()
        return futures

    def flush(self, timeout: float | None = None) -> None:
        self.flushes.append(timeout)
        self._settle()

    def settle_the_rest(self) -> None:
        """Leave nothing under way at the end of a test."""
        self.outcome = "message"
        self._settle()

    def _settle(self) -> None:
        for future in self.futures:
            if self.outcome is None or future.done():
                continue
            if isinstance(self.outcome, BaseException):
                future.set_exception(self.outcome)
            else:
                future.set_result(self.outcome)


def futures_of(backend: BaseBackend, messages: Sequence[Message]) -> list[Future[str]]:
    """The futures of what ``backend`` answers for ``messages``."""
    return [outcome.future for outcome in outcomes_of(backend, messages)]
