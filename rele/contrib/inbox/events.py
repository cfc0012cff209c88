"""What a message is known by in the inbox."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rele.contrib.inbox.exceptions import UnusableEventIdError
from rele.contrib.inbox.models import MAX_EVENT_ID
from rele.handling.async_handling import run_hook_async
from rele.middleware import run_middleware_hook

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message
    from rele.handling.current import Handling

# The name that log configurations rely on.
logger = logging.getLogger("rele.contrib.inbox.decorator")

_HOOK = "post_process_message_duplicate"

EVENT_ID = "event_id"
"""The attribute that is the same in each message about an event, if a publisher sends several."""


def event_id_of(message: Message) -> str:
    """The id of the event that ``message`` is about.

    Raises:
        UnusableEventIdError: the table cannot take it.
    """
    attributes: Mapping[str, str] = message.attributes
    event_id = attributes.get(EVENT_ID) or message.message_id
    if len(event_id) > MAX_EVENT_ID:
        reason = f"has {len(event_id)} characters of at most {MAX_EVENT_ID}"
        raise UnusableEventIdError(event_id, reason)
    if "\0" in event_id:
        raise UnusableEventIdError(event_id, "has a NUL character")
    return event_id


def report_duplicate(message: Message, subscription: Subscription, event_id: str) -> None:
    """Log that the handler is not run for ``message``, and run the hook for that."""
    _log_duplicate(message, subscription, event_id)
    run_middleware_hook(_HOOK, subscription, message)


async def areport_duplicate(handling: Handling) -> None:
    """As :func:`report_duplicate`, for the message of an ``async def``."""
    message, subscription = handling.message, handling.subscription
    _log_duplicate(message, subscription, event_id_of(message))
    await run_hook_async(handling, _HOOK, subscription, message)


def _log_duplicate(message: Message, subscription: Subscription, event_id: str) -> None:
    logger.info(
        "The message %s of %s is skipped: the event %s was handled before.",
        message.message_id,
        subscription,
        event_id,
    )
