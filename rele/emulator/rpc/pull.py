"""One ``Pull`` call."""

import asyncio

from rele.emulator.delivery.consumers import FlowControl
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.resources.registry import Registry
from rele.emulator.rpc.attachment import Attachment
from rele.emulator.rpc.service import Context
from rele.emulator.rules import limits, names
from rele.emulator.rules.refusals import ServiceError
from rele.emulator.wire.classes import RawMessage

MAX_WAIT_SECONDS = 10.0
"""How long a Pull waits for the first message before it is answered without any.

The service documents a bounded time, but not how long it is.
"""

# A response sent at the client's deadline arrives too late.
_SPARE_SECONDS = 1.0


async def pull(registry: Registry, request: RawMessage, context: Context) -> bytes:
    """The serialised response: the messages that wait, or else the first that is published.

    It has no message if none is published in time.
    """
    names.check_subscription(request.subscription, "subscription")
    limits.check_max_messages(request.max_messages)
    subscription = registry.attached_subscription(request.subscription)
    wait = 0.0 if request.return_immediately else _wait_seconds(context.time_remaining())
    deadline = subscription.config.ack_deadline_seconds
    with Attachment(subscription.backlog, FlowControl(), deadline) as attachment:
        batch = await _first_batch(attachment, request.max_messages, wait)
        try:
            return attachment.encode(batch)
        except ServiceError:
            attachment.release(batch)
            raise


def _wait_seconds(client_patience: float | None) -> float:
    if client_patience is None:
        return MAX_WAIT_SECONDS
    spare = min(_SPARE_SECONDS, client_patience / 10)
    return max(0.0, min(MAX_WAIT_SECONDS, client_patience - spare))


async def _first_batch(attachment: Attachment, max_messages: int, wait: float) -> list[Delivery]:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + wait
    timer = loop.call_at(give_up, attachment.wake)
    try:
        while not (batch := attachment.take(max_messages)) and loop.time() < give_up:
            await attachment.ready()
        return batch
    finally:
        timer.cancel()
