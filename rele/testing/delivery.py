"""Running a sub as the worker would, without a server."""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.cloud.pubsub_v1.subscriber.message import Message as GoogleMessage
from google.pubsub_v1.types import PubsubMessage

from rele import config as configuration
from rele.config import Config
from rele.engine.base import Message, SendToDeadLetters, as_message
from rele.exceptions import ConfigurationError
from rele.handling.handle import Outcome, handle, outcome_of
from rele.handling.handle_async import process_async
from rele.handling.handle_batch import handle_batch
from rele.handling.settlement import SettlementPolicy
from rele.handling.sync_calls import InCallingThread
from rele.messages.codec import decoder, encode
from rele.runtime.completion import run_to_completion
from rele.sending.event_loops import is_in_running_loop
from rele.subscription import Subscription

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Delivery:
    """What became of a message, or of a batch.

    Of a batch, ``acked``, ``handled``, ``filtered`` and ``duplicate`` are true if they are true of
    all its messages, ``nacked`` and ``dead_lettered`` if they are true of any.
    """

    acked: bool
    """Whether it was acknowledged, and is not redelivered."""
    nacked: bool
    """Whether it was nacked, and is redelivered."""
    exception: BaseException | None
    """Why it failed."""
    result: Any
    """What the handler returned."""
    dead_lettered: bool = False
    """Whether it was published to the dead-letter topic, and then acknowledged."""
    handled: bool = False
    """Whether the handler has run, without an exception."""
    filtered: bool = False
    """Whether a filter turned it away, so that it was acknowledged without the handler."""
    duplicate: bool = False
    """Whether the inbox has it already, so that it was acknowledged without the handler."""
    messages: tuple[Delivery, ...] = ()
    """Of a batch: what became of each message, in order."""


def deliver(
    sub: Subscription,
    data: Any,
    /,
    *,
    raise_exceptions: bool = False,
    **attributes: str | list[str],
) -> Delivery:
    """Run ``sub`` with a message as the worker would: filters, middleware and all.

    Nothing is raised for a message that fails, as nothing is in the worker, unless it is asked for:
    the result has the exception.

    An ``async def`` runs to its end, with its ORM calls in the calling thread, so in the
    transaction of a ``TestCase``. In a test that is itself an ``async def``, use :func:`adeliver`.

    Args:
        sub: what ``@sub`` has made.
        data: what was published; ``bytes`` are taken as the payload itself. For a handler of
            batches, a list with the data of each message.
        raise_exceptions: raise what the message failed with, after it was settled.
        attributes: those of the message. ``published_at`` is added where it is not given, and
            ``ordering_key`` is the message's ordering key. For a batch, a list has the value for
            each message.

    Raises:
        ValueError: the lists for a batch are not of the same length, or empty.
        TypeError: ``sub`` is a plain function, or the class of a subscription.
        RuntimeError: ``sub`` is an ``async def``, and an event loop runs in this thread.
    """
    _check_sub(sub)
    if sub.is_async and is_in_running_loop():
        raise RuntimeError(
            f"{sub} is an `async def`, and deliver() would block the event loop that is to run it: "
            "write `await adeliver(…)`, from rele.testing."
        )
    if sub.batch is not None:
        return _deliver_batch(sub, data, attributes, raise_exceptions=raise_exceptions)
    test = _Test(sub, data, attributes)
    if not sub.is_async:
        return test.delivery(handle(test.message, sub, test.policy), raise_exceptions)
    handling = run_to_completion(process_async(test.message, sub, test.policy))
    return test.delivery(outcome_of(handling), raise_exceptions)


async def adeliver(
    sub: Subscription,
    data: Any,
    /,
    *,
    raise_exceptions: bool = False,
    **attributes: str | list[str],
) -> Delivery:
    """As :func:`deliver`, for a test that is an ``async def``::

        delivery = await adeliver(send_mail, {"id": 42})

    An ``async def`` runs in the event loop of the test. Any other handler, and each handler of
    batches, runs in a thread: that of the test's ORM calls.
    """
    _check_sub(sub)
    if sub.is_async and sub.batch is None:
        test = _Test(sub, data, attributes)
        task = asyncio.create_task(process_async(test.message, sub, test.policy))
        return test.delivery(outcome_of(await task), raise_exceptions)
    call = partial(deliver, sub, data, raise_exceptions=raise_exceptions, **attributes)
    if "asgiref.sync" in sys.modules:  # which knows that thread
        delivery: Delivery = await InCallingThread().run(call)
        return delivery
    return await asyncio.to_thread(call)


def _check_sub(sub: Any) -> None:
    if not isinstance(sub, Subscription):
        raise TypeError(
            f"deliver() takes a subscription, which `@sub(topic=…)` makes of a function, and an "
            f"instance of a subclass of Subscription is; not {sub!r}."
        )


class _Test:
    """One delivery to ``sub``: its message, how it is settled, and what became of it."""

    def __init__(
        self, sub: Subscription, data: Any, attributes: Mapping[str, str | list[str]]
    ) -> None:
        self._dead_letters: list[Message] = []
        self.policy = _policy_of(sub, lambda letter, _failure: self._dead_letters.append(letter))
        self.message = _message(data, attributes, self.policy)

    def delivery(self, outcome: Outcome, raise_exceptions: bool) -> Delivery:
        """What became of the message, or raise what it failed with."""
        if raise_exceptions and outcome.error is not None:
            raise outcome.error
        return _delivery(outcome, dead_lettered=bool(self._dead_letters))


def _deliver_batch(
    sub: Subscription,
    data: Any,
    attributes: Mapping[str, str | list[str]],
    *,
    raise_exceptions: bool,
) -> Delivery:
    _check_lengths(sub, data, attributes)
    dead_letters: list[Message] = []
    policy = _policy_of(sub, lambda letter, _failure: dead_letters.append(letter))
    messages = [
        _message(
            each,
            {
                name: value[number] if isinstance(value, list) else value
                for name, value in attributes.items()
            },
            policy,
        )
        for number, each in enumerate(data)
    ]
    run = handle_batch(messages, sub, policy)
    error = run.error or next(iter(run.errors.values()), None)
    if raise_exceptions and error is not None:
        raise error
    each_delivery = tuple(
        _delivery(outcome, dead_lettered=message in dead_letters)
        for outcome, message in zip(run.outcomes(), messages, strict=True)
    )
    return Delivery(
        acked=all(each.acked for each in each_delivery),
        nacked=any(each.nacked for each in each_delivery),
        exception=error,
        result=run.result,
        dead_lettered=any(each.dead_lettered for each in each_delivery),
        handled=all(each.handled for each in each_delivery),
        filtered=all(each.filtered for each in each_delivery),
        duplicate=all(each.duplicate for each in each_delivery),
        messages=each_delivery,
    )


def _check_lengths(sub: Subscription, data: Any, attributes: Mapping[str, str | list[str]]) -> None:
    if not isinstance(data, (list, tuple)) or not data:
        raise ValueError(
            f"{sub.path} takes batches: deliver a list with the data of each message, at least "
            f"one, not {data!r}."
        )
    for name, value in attributes.items():
        if isinstance(value, list) and len(value) != len(data):
            raise ValueError(
                f"The attribute {name!r} has {len(value)} values for {len(data)} messages: give "
                "one for each, or a string for all."
            )


def _delivery(outcome: Outcome, *, dead_lettered: bool) -> Delivery:
    return Delivery(
        acked=outcome.settled_as == "ack",
        nacked=outcome.settled_as in ("nack", "drop"),
        exception=outcome.error,
        result=outcome.result,
        dead_lettered=dead_lettered,
        handled=outcome.error is None and outcome.skipped is None,
        filtered=outcome.skipped == "filtered",
        duplicate=outcome.skipped == "duplicate",
    )


def _policy_of(sub: Subscription, send_to_dead_letters: SendToDeadLetters) -> SettlementPolicy:
    """As the worker has it from the declaration and the project's settings."""
    try:
        config = configuration.current()
    except ConfigurationError:
        config = Config({})
    options = sub.options.over(config.subscription_defaults)
    return SettlementPolicy(
        sub,
        confirms_acks=bool(options.enable_exactly_once_delivery),
        send_to_dead_letters=None if options.dead_letter_policy is None else send_to_dead_letters,
        logs_payloads=config.log_payloads,
        decode=decoder(options.codec or "json", config.decoder),
    )


def _message(data: Any, attributes: Mapping[str, Any], policy: SettlementPolicy) -> Message:
    payload = data if isinstance(data, bytes) else encode(data, _configured_encoder())
    number = next(_numbers)
    attributes = {"published_at": str(time.time()), **attributes}
    message = PubsubMessage(
        data=payload,
        message_id=str(number),
        ordering_key=attributes.pop("ordering_key", ""),
        attributes=attributes,
    )
    pb = PubsubMessage.pb(message)
    pb.publish_time.GetCurrentTime()
    return as_message(
        GoogleMessage(
            pb,
            ack_id=f"test-{number}",
            # Pub/Sub counts attempts only where there is a dead-letter policy; 0 stands for none.
            delivery_attempt=0 if policy.send_to_dead_letters is None else 1,
            request_queue=queue.Queue(),
        )
    )


def _configured_encoder() -> type[json.JSONEncoder]:
    """The project's; its middleware is registered on the way, where there is a project."""
    try:
        return configuration.current().encoder
    except ConfigurationError:
        return json.JSONEncoder
