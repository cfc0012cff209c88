"""Which calls there were, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support.inbox import Inbox


class Recorder(Inbox):
    """Notes its calls as a handler, or as a middleware, whose every hook it has.

    A call of the handler is its data and its attributes; one of a hook is the name of the hook,
    followed by its arguments. A test may wait for the calls as for what arrives in an inbox.

    Args:
        result: what the handler returns.
        hooks: the names of the hooks that it has, if not all.
    """

    def __init__(self, result: object = None, *, hooks: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.actions: dict[str, Callable[..., Any]] = {}
        """What a hook does, after it was noted, by its name."""
        self.threads: list[threading.Thread] = []
        """The thread of each call."""
        self._result = result
        self._hooks = hooks

    @property
    def calls(self) -> list[Any]:
        return self.items

    @property
    def names(self) -> list[str]:
        """The names of the hooks, in the order of their calls."""
        return [call[0] for call in self.calls]

    def arguments_of(self, name: str) -> tuple[Any, ...]:
        """The arguments of the only call of a hook."""
        [arguments] = [call[1:] for call in self.calls if call[0] == name]
        return tuple(arguments)

    def setup(self, config: object, **kwargs: object) -> None:
        """It needs nothing of a configuration."""

    def __call__(self, data: Any, **attributes: Any) -> Any:
        self._note((data, attributes))
        return self._result

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith(("pre_", "post_")) or (self._hooks and name not in self._hooks):
            raise AttributeError(name)

        def hook(*args: Any) -> None:
            self._note((name, *args))
            if name in self.actions:
                self.actions[name](*args)

        return hook

    def _note(self, call: tuple[Any, ...]) -> None:
        self.threads.append(threading.current_thread())
        self.put(call)


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises ``error`` whatever it is called with."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail
