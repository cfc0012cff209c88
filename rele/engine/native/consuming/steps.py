"""The steps of a coroutine in a context of its own, the first one without a task of its own."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any


class Steps:
    """A coroutine that runs in ``context``, whatever task awaits it.

    Most handlers of a fast subscription never wait. A task for each of them would cost more than
    they do, so their first step is taken in a task that they share. One that waits is awaited.

    Args:
        coroutine: runs in the context.
        context: of its own.
    """

    __slots__ = ("_awaited", "_coroutine", "_run")

    def __init__(self, coroutine: Coroutine[Any, Any, object], context: Context) -> None:
        self._coroutine = coroutine
        self._run = context.run
        self._awaited: Any = None

    def take_first(self) -> bool:
        """Run the coroutine until it waits or ends; return whether it waits."""
        try:
            self._awaited = self._run(self._coroutine.send, None)
        except StopIteration:
            return False
        return True

    def __await__(self) -> Generator[Any, Any, None]:
        """Take the steps after the first one; the awaiting task is that of the coroutine."""
        run, coroutine, awaited = self._run, self._coroutine, self._awaited
        while True:
            try:
                value = yield awaited
            except GeneratorExit:  # the loop is gone, and perhaps the coroutine
                run(coroutine.close)
                raise
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                thrown: BaseException | None = error
            else:
                thrown = None
            try:
                if thrown is None:
                    awaited = run(coroutine.send, value)
                else:
                    awaited = run(coroutine.throw, thrown)
            except StopIteration:
                return
