"""A message that was handed over, until its outcome is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Field = bytes | tuple[bytes, ...]
"""A message as a field of a request. A large one is in pieces, so that its data is not copied
before the request is put together."""

Report = Callable[[Any], object]
"""Called once with the future of a message, when it is done."""


class Outgoing:
    """One message on its way to Pub/Sub.

    Args:
        topic: the topic's id, without the project.
        key: the ordering key; empty if the message has none.
        field: the message as a field of a request; ``size`` is its length.
        handed_at: when it was handed over, in seconds of the engine's clock.
        is_urgent: whether somebody waits for it, so that it is not gathered with others.
        future: the future of its message id.
        report: called with the future when it is done.
    """

    __slots__ = ("field", "future", "handed_at", "is_urgent", "key", "report", "size", "topic")

    def __init__(
        self,
        topic: str,
        key: str,
        field: Field,
        handed_at: float,
        is_urgent: bool,
        future: Any,
        report: Report,
    ) -> None:
        self.topic = topic
        self.key = key
        self.field = field
        self.size = len(field) if isinstance(field, bytes) else sum(map(len, field))
        self.handed_at = handed_at
        self.is_urgent = is_urgent
        self.future = future
        self.report = report
