"""What observers learn of a request to publish: only where there are any."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rele.engine.native.publishing import wire
from rele.engine.native.publishing.lanes import Request
from rele.engine.native.publishing.retrying import Failure
from rele.status.observers import OBSERVERS, PublishRequest


def note_answer(topic_path: str, request: Request, answer: Sequence[str] | Failure) -> None:
    """Note how ``request`` has ended now."""
    messages = wire.messages([each.field for each in request.messages])
    error: BaseException | None = None
    if isinstance(answer, Failure):
        error = answer.error
    else:
        for message, message_id in zip(messages, answer, strict=True):
            message.message_id = message_id
    seconds = time.monotonic() - request.sent_at
    OBSERVERS.note_publish_request(
        PublishRequest(topic_path, messages, time.time() - seconds, seconds, error)
    )
