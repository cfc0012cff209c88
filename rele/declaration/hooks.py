"""The marks by which a middleware says where its hooks may run, for async handlers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

from rele.schema.callables import is_coroutine_function

Hook = TypeVar("Hook", bound=Callable[..., Any])

Mark = Literal["no_io", "per_thread"]

HOOKS_OF_MESSAGES = frozenset(
    {
        "pre_process_message",
        "post_process_message",
        "post_process_message_success",
        "post_process_message_failure",
        "post_process_message_duplicate",
        "post_process_batch",
        "post_ack_failure",
    }
)
"""The hooks around a received message, which may be ``async def``."""


def no_io(hook: Hook) -> Hook:
    """Mark a hook that neither does I/O nor waits: with async handlers it runs in their loop.

    Any other hook that is not an ``async def`` costs each message of an async handler a thread.

    Raises:
        TypeError: the hook is an ``async def``, which runs in that loop in any case.
    """
    if is_coroutine_function(hook):
        raise TypeError(
            f"{hook.__qualname__} is an `async def`, which is awaited: remove the @no_io from it."
        )
    hook.rele_mark = "no_io"  # type: ignore[attr-defined]
    return hook


def per_thread(hook: Hook) -> Hook:
    """Mark a hook that looks after the thread in which a message is handled.

    For an async handler it runs only if the message uses a thread, for other hooks or for its ORM
    calls, and runs there: ``pre_process_message`` before everything else in this thread,
    ``post_process_message`` after it.
    """
    hook.rele_mark = "per_thread"  # type: ignore[attr-defined]
    return hook


def needed_if(is_needed: Callable[[Any], bool]) -> Callable[[Hook], Hook]:
    """Mark a hook that does nothing while ``is_needed`` of its middleware is false.

    Then it need not be called for each message of a batch. A hook that overrides it is not marked.
    """

    def mark(hook: Hook) -> Hook:
        hook.rele_is_needed = is_needed  # type: ignore[attr-defined]
        return hook

    return mark


def is_needed(hook: Callable[..., Any], middleware: object) -> bool:
    """Whether ``hook`` may do something now."""
    needed: Callable[[Any], bool] | None = getattr(hook, "rele_is_needed", None)
    return needed is None or needed(middleware)


def mark_of(hook: Callable[..., Any]) -> Mark | None:
    """How ``hook`` is marked, if it is."""
    mark: Mark | None = getattr(hook, "rele_mark", None)
    return mark


def completed(result: Any, hook_name: str) -> Any:
    """The result of a hook; if that is an ``async def``, it has run to its end in this thread."""
    if hook_name in HOOKS_OF_MESSAGES and isinstance(result, Coroutine):
        from rele.runtime.completion import run_to_completion

        return run_to_completion(result)
    return result
