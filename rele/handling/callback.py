"""The callback for the messages of a subscription."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rele.engine.base import Message, as_message
from rele.handling.handle import process
from rele.handling.handle_batch import BatchRun, handle_batch
from rele.handling.settlement import SettlementPolicy
from rele.messages.codec import decoder

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.handling.current import Handling
    from rele.handling.sync_calls import RunInThread


class Callback:
    """A callable that handles and settles each message of a subscription.

    Errors of a filter, a handler, a decoder or a hook are not raised, because they would end the
    stream. Each message is settled exactly once. An ``async def`` runs to its end in the calling
    thread; if that has a running event loop, in another thread, while the loop waits.

    Args:
        subscription: the subscription of the messages.
        suffix: the suffix of the subscription's name, as in version 1.x; not used.
        policy: how messages are settled; by default as the declaration says, without a dead-letter
            topic.
    """

    def __init__(
        self,
        subscription: Subscription,
        suffix: str | None = None,
        *,
        policy: SettlementPolicy | None = None,
    ) -> None:
        self._subscription = subscription
        self.is_async = subscription.is_async
        self.is_batch = subscription.batch is not None
        self._suffix = suffix
        self._policy = policy or SettlementPolicy(
            subscription,
            confirms_acks=bool(subscription.options.enable_exactly_once_delivery),
            decode=decoder(subscription.options.codec or "json"),
        )

    def __call__(self, message: Any) -> Any:
        """Handle ``message`` and settle it; return the handler's result (``None`` if it failed).

        Args:
            message: a :class:`rele.engine.base.Message`, or an object to wrap in one: Google's
                message, or a stand-in of a test.
        """
        if self.is_batch:
            return self.handle_batch([as_message(message)]).result
        if self.is_async:
            from rele.runtime.completion import run_to_completion

            return run_to_completion(self.handle_async(message)).result
        return process(as_message(message), self._subscription, self._policy).result

    def handle_batch(
        self, messages: Sequence[Message], *, leaves_followers: bool = False
    ) -> BatchRun:
        """Handle ``messages`` by one call of a handler of batches, and settle each of them.

        Args:
            messages: in the order in which they were received; at least one.
            leaves_followers: whether the caller settles those that did not fail, but follow a
                failed one of their ordering key; otherwise they are nacked.
        """
        return handle_batch(
            messages, self._subscription, self._policy, leaves_followers=leaves_followers
        )

    def handle_async(
        self, message: Any, run_in_thread: RunInThread | None = None
    ) -> Coroutine[Any, Any, Handling]:
        """Handle ``message`` in the running event loop, by an ``async def``, and settle it.

        Args:
            message: as for a call.
            run_in_thread: runs a function in a thread, where the loop handles many messages at a
                time: the ORM calls of each message get a thread then. Otherwise they run where
                asgiref runs them.
        """
        return self._process_async(
            as_message(message), self._subscription, self._policy, run_in_thread
        )

    @cached_property
    def _process_async(self) -> Callable[..., Coroutine[Any, Any, Handling]]:
        from rele.handling.handle_async import process_async  # not at import: it loads asyncio

        return process_async
