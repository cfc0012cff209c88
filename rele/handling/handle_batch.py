"""Handling several received messages at once: their hooks, one call of the handler, settlements."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from rele.declaration.handlers import check_result
from rele.declaration.skips import begin_call
from rele.engine.base import ack_together
from rele.exceptions import DecodeError, OrderingKeyFailed, PartialFailure
from rele.handling.batch_message import BatchMessage, RawBatchMessage, check_named, received
from rele.handling.current import BatchHandling
from rele.handling.handle import Outcome
from rele.messages.codec import as_it_is
from rele.middleware import call_message_hooks, hooks_of

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message
    from rele.handling.settlement import SettlementPolicy

logger = logging.getLogger(__name__)


def handle_batch(
    messages: Sequence[Message],
    subscription: Subscription,
    policy: SettlementPolicy,
    *,
    leaves_followers: bool = False,
) -> BatchRun:
    """Handle ``messages`` by one call of the handler, and settle each of them exactly once.

    Errors of a filter, a handler, a decoder or a hook are not raised.

    Args:
        messages: in the order in which they were received; at least one.
        subscription: whose handler is called.
        policy: how they are settled.
        leaves_followers: whether the caller settles those that did not fail, but follow a failed
            one of their ordering key; otherwise they are nacked.
    """
    handling = BatchHandling(subscription, messages)
    run = BatchRun(messages, handling, policy, leaves_followers=leaves_followers)
    copy_context().run(run.handle)
    return run


class BatchRun:
    """The way of one batch from its receipt to its settlements.

    Args:
        messages: in the order in which they were received.
        handling: of the subscription.
        policy: how they are settled.
        leaves_followers: as for :func:`handle_batch`.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        handling: BatchHandling,
        policy: SettlementPolicy,
        *,
        leaves_followers: bool = False,
    ) -> None:
        self.messages = messages
        self.result: Any = None
        """What the handler returned; ``None`` if it raised."""
        self.error: BaseException | None = None
        """What the handler raised."""
        self.errors: dict[Message, BaseException] = {}
        """Why messages have failed."""
        self._handling = handling
        self._subscription: Subscription = handling.subscription
        self._policy = policy
        self._leaves_followers = leaves_followers
        self._undecodable: set[Message] = set()
        self._followers: set[Message] = set()
        self._ready: list[BatchMessage] = []
        self._start_time = 0.0

    def handle(self) -> None:
        """Do everything, in a context of the batch's own, by a handler that is called there."""
        try:
            ready = self.begin()
            result, error = self._call_handler(ready) if ready else (None, None)
            self.end(result, error)
        except BaseException as escaped:
            logger.exception("The handling of a batch of %s was ended.", self._subscription)
            self.give_up(escaped)

    def begin(self) -> list[BatchMessage]:
        """Run the hooks before; return the messages that the handler is to be called with.

        The batch is the current call for as long as the context of the caller lasts.
        """
        begin_call(self._handling)
        self._start_time = time.time()
        if self._policy.confirms_acks:
            for message in self.messages:
                message.acks_with_response = True
        if hooks := hooks_of("pre_process_message"):
            for message in self._each_as_current():
                call_message_hooks(hooks, self._subscription, message)
        self._ready = self._decoded_and_filtered()
        return list(self._ready)

    def end(self, result: Any, error: BaseException | None) -> None:
        """Settle all messages, and run the hooks after, once the handler has ended.

        Args:
            result: what the handler has returned.
            error: what it has raised; ``None`` if it has returned.
        """
        error = self._checked(result, error)
        self.result, self.error = (result, None) if error is None else (None, error)
        self._note_errors()
        self._ack_what_is_certain()
        self._finish_each()
        if hooks := hooks_of("post_process_batch"):
            call_message_hooks(hooks, self._subscription, self._start_time, self.messages)

    def give_up(self, error: BaseException) -> None:
        """Nack whatever is not settled, after an unforeseen ``error``."""
        for message in self.messages:
            if message.settled_as is None:
                self.errors.setdefault(message, error)
                self._settle(message, message.nack)

    def outcomes(self) -> list[Outcome]:
        """The outcome of each message, in order."""
        return [
            Outcome(
                self.result if message not in self.errors else None,
                self.errors.get(message),
                message.settled_as,
                None if message in self.errors else self._handling.why_skipped(message),
            )
            for message in self.messages
        ]

    def _call_handler(self, ready: list[BatchMessage]) -> tuple[Any, BaseException | None]:
        try:
            result = self._subscription.handle_batch(ready)
            if self._subscription.is_async:
                from rele.runtime.completion import run_to_completion

                result = run_to_completion(result)
            return result, None
        except BaseException as error:  # noqa: BLE001 - whatever it is, messages have failed
            return None, error

    def _decoded_and_filtered(self) -> list[BatchMessage]:
        ready: list[BatchMessage] = []
        decode, has_filters = self._policy.decode, bool(self._subscription.filter_by)
        if decode is as_it_is and not has_filters:
            ready += map(RawBatchMessage, self.messages)
            return ready
        for message in self.messages:
            try:
                data = decode(message.data)
                if has_filters and not self._is_accepted(message):
                    continue
            except DecodeError as error:
                self.errors[message] = error
                self._undecodable.add(message)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the message has failed
                self.errors[message] = error
            else:
                ready.append(BatchMessage(message, data))
        return ready

    def _is_accepted(self, message: Message) -> bool:
        self._handling.message = message
        try:
            is_accepted = self._subscription.accepts(message.attributes)
        finally:
            self._handling.message = None
        if not is_accepted:
            self._handling.skip(message, "filtered")
        return is_accepted

    def _checked(self, result: Any, error: BaseException | None) -> BaseException | None:
        """The error of the handler, or of what is checked after it."""
        try:
            if isinstance(error, PartialFailure):
                check_named(error, self._ready)
            if error is None:
                check_result(result, "The handler of %s", self._subscription)
            if error is None or isinstance(error, PartialFailure):
                self._handling.run_checks()
        except BaseException as found:  # noqa: BLE001 - whatever it is, all messages have failed
            for message in self._ready:
                message.withdraw_ack()
            return found
        return error

    def _note_errors(self) -> None:
        """Note why those that the handler was called with have failed, if they have."""
        error = self.error
        named: Mapping[BatchMessage, BaseException] = {}
        if isinstance(error, PartialFailure):
            named = error.errors
            error = None
        undecided = self._ready
        if error is None and not named:
            undecided = [message for message in self._ready if message.has_outcome]
        for message in undecided:
            failure = named.get(message) or message.failure(error)
            if failure is not None and self._handling.why_skipped(received(message)) is None:
                self.errors[received(message)] = failure

    def _ack_what_is_certain(self) -> None:
        """Ack in one step what succeeded, except behind a failed message of its ordering key."""
        certain: Sequence[Message] = self.messages
        if self.errors:
            failed_keys = {each.ordering_key for each in self.errors} - {""}
            certain = [
                each
                for each in self.messages
                if each not in self.errors and each.ordering_key not in failed_keys
            ]
        try:
            ack_together(certain)
        except BaseException:
            logger.exception("Messages of %s could not be acked.", self._subscription)
        self._policy.confirm_together(certain)

    def _finish_each(self) -> None:
        """Run the hooks after each message, in order, and settle what is not settled."""
        success = hooks_of("post_process_message_success")
        failure = hooks_of("post_process_message_failure")
        after = hooks_of("post_process_message")
        if not (success or after or self.errors):
            return
        failed_keys: set[str] = set()
        settled_late: list[Message] = []
        for message in self._each_as_current():
            self._note_follower(message, failed_keys)
            error = self.errors.get(message)
            if error is not None:
                call_message_hooks(failure, self._subscription, error, self._start_time, message)
            if message.settled_as is None:
                self._settle_late(message, error)
                settled_late.append(message)
            if error is None:
                call_message_hooks(success, self._subscription, self._start_time, message)
            if message.ordering_key and message.settled_as != "ack":
                failed_keys.add(message.ordering_key)
            call_message_hooks(after)
        self._policy.confirm_together(settled_late)

    def _note_follower(self, message: Message, failed_keys: set[str]) -> None:
        if message.ordering_key in failed_keys and message.settled_as is None:
            self._followers.add(message)
            self.errors.setdefault(message, OrderingKeyFailed())

    def _settle_late(self, message: Message, error: BaseException | None) -> None:
        if error is None:
            self._settle(message, message.ack)
        elif message in self._followers:
            if not self._leaves_followers:
                self._settle(message, message.nack)
        else:
            self._settle_failed(message, error)

    def _settle_failed(self, message: Message, error: BaseException) -> None:
        policy = self._policy
        is_undecodable = message in self._undecodable
        settle = policy.settle_undecodable if is_undecodable else policy.settle_failed
        self._settle(message, settle, message, error)
        if policy.may_publish(message, error) and message.settled_as != "ack":
            self._policy = policy.after_refusal()

    def _settle(self, message: Message, settle: Callable[..., None], *args: Any) -> None:
        try:
            settle(*args)
        except BaseException:
            logger.exception("A message of %s could not be settled.", self._subscription)

    def _each_as_current(self) -> Iterator[Message]:
        try:
            for message in self.messages:
                self._handling.message = message
                yield message
        finally:
            self._handling.message = None
