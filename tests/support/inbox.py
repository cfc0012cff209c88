"""Waiting for what arrives, instead of sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Inbox:
    """What was put into it, in order; waits for the items that a test expects."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._changed = threading.Condition()

    def put(self, item: Any) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait_for(self, count: int, seconds: float = 20) -> list[Any]:
        """The items, once there are ``count`` of them; fails after ``seconds``."""
        return self.wait_until(lambda items: len(items) >= count, seconds)

    def wait_until(self, is_complete: Callable[[list[Any]], bool], seconds: float = 20) -> Any:
        """The items, once ``is_complete(items)``; fails after ``seconds``."""
        with self._changed:
            assert self._changed.wait_for(lambda: is_complete(self.items), seconds), (
                f"{len(self.items)} item(s) after {seconds} s: {self.items[:20]!r}"
            )
            return list(self.items)
