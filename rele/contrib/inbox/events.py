"""What a message is known by in the inbox."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rele.middleware import run_middleware_hook

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message

# The name that log configurations rely on.
logger = logging.getLogger("rele.contrib.inbox.decorator")

EVENT_ID = "event_id"
"""The attribute that is the same in each message about an event, if a publisher sends several."""


def event_id_of(message: Message) -> str:
    """The id of the event that ``message`` is about."""
    attributes: Mapping[str, str] = message.attributes
    return attributes.get(EVENT_ID) or message.message_id


def report_duplicate(message: Message, subscription: Subscription, event_id: str) -> None:
    """Log that the handler is not run for ``message``, and run the hook for that."""
    logger.info(
        "The message %s of %s is skipped: the event %s was handled before.",
        message.message_id,
        subscription,
        event_id,
    )
    run_middleware_hook("post_process_message_duplicate", subscription, message)
