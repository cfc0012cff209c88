"""The handling of a message by an async handler: its hooks, and where its sync functions run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Sequence
from concurrent.futures import Executor, Future
from functools import lru_cache, partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from rele.declaration.hooks import mark_of
from rele.handling.current import Handling, current_handling
from rele.handling.sync_calls import InCallingThread, InOwnThread, RunInThread, SyncCalls
from rele.middleware import (
    Hook,
    call_message_hooks,
    check_hook_result,
    hooks_of,
    report_hook,
    run_message_hook,
)
from rele.runtime.in_use import IN_USE
from rele.schema.callables import is_coroutine_function

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message


class AsyncHandling(Handling):
    """The handling of a message in an event loop.

    Args:
        message: the message, as hooks get it.
        subscription: the subscription whose handler is awaited.
        run_in_thread: runs a function in a thread, where the loop handles many messages at a time;
            ``None`` if it runs in the thread that handles this message alone.
    """

    __slots__ = ("_calls", "_run_in_thread")

    def __init__(
        self, message: Message, subscription: Subscription, run_in_thread: RunInThread | None
    ) -> None:
        super().__init__(message, subscription)
        self._run_in_thread = run_in_thread
        self._calls: InOwnThread | None = None

    @property
    def calls(self) -> SyncCalls:
        """Where the sync functions of the message run."""
        return InCallingThread() if self._run_in_thread is None else self._own_thread()

    def submit(self, function: partial[Any]) -> Future[Any]:
        """Call ``function`` in the message's own thread; asgiref asks for this."""
        return self._own_thread().submit(function)

    def end(self) -> Awaitable[None] | None:
        """Let the message's own thread clean up and end; ``None`` if there is none."""
        return None if self._calls is None else self._calls.end()

    def run_hook(self, hook_name: str, *args: Any) -> Awaitable[None] | None:
        """Call ``hook_name`` of every middleware that has it, in order, and log their errors.

        Returns:
            what is to be awaited; ``None`` if all is done.
        """
        for position, middleware in enumerate(IN_USE.middleware or ()):
            # Each step for itself instead of hooks_of() and mark_of(), which cost more.
            hook = getattr(middleware, hook_name, None)
            if hook is None:
                continue
            if getattr(hook, "rele_mark", None) != "no_io":
                return self._run_rest(_hooks_from(position, hook_name), args)
            try:
                if (result := hook(*args)) is not None:
                    check_hook_result(result, hook_name, middleware)
            except BaseException as error:  # noqa: BLE001 - logged; everything else continues
                report_hook(hook_name, middleware, error)
        if IN_USE.middleware is None and (hooks := hooks_of(hook_name)):  # registered just now
            return self._run_rest(hooks, args)
        return None

    async def _run_rest(self, hooks: Sequence[Hook], args: tuple[Any, ...]) -> None:
        for hook in hooks:
            mark = mark_of(hook[0])
            if mark == "no_io":
                call_message_hooks([hook], *args)
            elif is_coroutine_function(hook[0]):
                await _await(hook, args)
            elif mark is None or self._run_in_thread is None:
                await self.calls.run(call_message_hooks, [hook], *args)

    def _own_thread(self) -> InOwnThread:
        if self._calls is None:
            assert self._run_in_thread is not None
            message, subscription = self.message, self.subscription
            self._calls = InOwnThread(
                self._run_in_thread,
                partial(_run_marked, "pre_process_message", subscription, message),
                partial(_run_marked, "post_process_message"),
            )
        return self._calls


async def run_hook_async(handling: Handling, hook_name: str, *args: Any) -> None:
    """Run a hook from the handler of ``handling``, in the event loop that this awaits it in."""
    if not isinstance(handling, AsyncHandling):  # a sync handler runs an `async def`
        await InCallingThread().run(run_message_hook, hook_name, *args)
    elif (hooks := handling.run_hook(hook_name, *args)) is not None:
        await hooks


class _ThreadOfCurrentMessage(Executor):
    """Runs functions in the thread of the message that their caller handles."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = partial(function, *args, **kwargs)
        handling = current_handling()
        if isinstance(handling, AsyncHandling):
            return handling.submit(call)
        thread = InOwnThread(lambda run: Thread(target=run, daemon=True).start())
        future = thread.submit(call)
        thread.close()
        return future


def use_own_threads() -> None:
    """Within the current context, let asgiref run what is sync in the thread of each message."""
    asgiref = sys.modules.get("asgiref.sync")
    if asgiref is not None:
        asgiref.SyncToAsync.thread_sensitive_context.set(_context_of(asgiref))


@lru_cache(maxsize=1)
def _context_of(asgiref: Any) -> Any:
    """One for all messages; so that a message that needs no thread costs nothing."""
    context = asgiref.ThreadSensitiveContext()
    asgiref.SyncToAsync.context_to_thread_executor[context] = _ThreadOfCurrentMessage()
    return context


def _hooks_from(position: int, hook_name: str) -> Sequence[Hook]:
    """Those of the middlewares from this position on."""
    later = (IN_USE.middleware or [])[position:]
    return [hook for hook in hooks_of(hook_name) if any(hook[2] is each for each in later)]


async def _await(named_hook: Hook, args: tuple[Any, ...]) -> None:
    hook, hook_name, middleware = named_hook
    try:
        result = await hook(*args)
        if result is not None:
            check_hook_result(result, hook_name, middleware)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - logged; everything else continues
        report_hook(hook_name, middleware, error)


def _run_marked(hook_name: str, *args: Any) -> None:
    """Call the hooks that look after the thread in which this is called."""
    marked = [hook for hook in hooks_of(hook_name) if mark_of(hook[0]) == "per_thread"]
    call_message_hooks(marked, *args)
