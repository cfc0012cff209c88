"""The messages of one topic and ordering key, and when they are sent. No clock, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rele.engine.native.publishing.outgoing import Outgoing
from rele.engine.native.publishing.retrying import Backoff
from rele.engine.publisher_options import PublisherOptions

MAX_REQUEST_MESSAGES = 1000
MAX_REQUEST_BYTES = 10_000_000
"""Quotas and limits of Pub/Sub, "Resource limits": a publish request."""

TOPIC_FIELD_BYTES = 310
"""The most bytes that the topic's name takes in a request."""


class Topic:
    """What is known of a topic while messages for it are outstanding."""

    def __init__(self, name: str, backoff: Backoff) -> None:
        self.name = name
        self.backoff = backoff
        self.lanes: dict[str, Lane] = {}
        """By ordering key."""
        self.ready: dict[Lane, None] = {}
        """The lanes that can send a request now, first the one that has waited longest."""
        self.under_way = 0
        self.timer_at: float | None = None

    @property
    def is_failing(self) -> bool:
        """Whether its last request failed, and will be sent again."""
        return self.backoff.is_failing


class Lane:
    """The messages of one topic and ordering key, in their order.

    Messages without an ordering key share a lane; its requests may overtake each other.
    """

    def __init__(self, topic: Topic, key: str, options: PublisherOptions, backoff: Backoff) -> None:
        self.topic = topic
        self.key = key
        self.backoff = backoff
        self.under_way = 0
        self.timer_at: float | None = None
        self.error: BaseException | None = None
        """The error of the last request that failed."""
        self.failed_by: BaseException | None = None
        """The error of a message with this ordering key, until its future is done."""
        self.undecided: list[Outgoing] = []
        """The messages that were handed over since then, until that future is done."""
        self._options = options
        self._parts: deque[list[Outgoing]] = deque()
        """The messages of failed requests, sent again as they were, before those that wait."""
        self._waiting: deque[Outgoing] = deque()
        self._waiting_bytes = 0
        self._is_urgent = False

    def add(self, message: Outgoing) -> None:
        """Let ``message`` wait behind the others."""
        if self.failed_by is not None:
            self.undecided.append(message)
            return
        self._waiting.append(message)
        self._waiting_bytes += message.size
        self._is_urgent = self._is_urgent or message.is_urgent

    def hurry(self) -> None:
        """Gather no more: what waits is sent as soon as possible."""
        self._is_urgent = bool(self._waiting)

    def send_again(self, messages: Sequence[list[Outgoing]]) -> None:
        """Let the messages of a failed request wait before the others, in one or more parts."""
        self._parts.extendleft(reversed(messages))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is outstanding."""
        return not (self._waiting or self._parts or self.under_way or self.failed_by is not None)

    def due_at(self) -> float | None:
        """When this lane has a request to send; ``None``: not before another event."""
        if self.failed_by is not None or (self.key and self.under_way):
            return None
        if not self._parts and not self._waiting:
            return None
        if self._parts or not self.under_way or self._is_urgent or self._is_full():
            return self.backoff.until
        return max(self.backoff.until, self._waiting[0].handed_at + self._options.max_wait)

    def _is_full(self) -> bool:
        """Whether the waiting messages fill a request."""
        options = self._options
        return (
            len(self._waiting) >= options.max_messages
            or self._waiting_bytes + TOPIC_FIELD_BYTES >= options.max_bytes
        )

    def take(self) -> list[Outgoing]:
        """Remove the messages of the next request, and return them."""
        if self._parts:
            return self._parts.popleft()
        count = min(self._options.max_messages, MAX_REQUEST_MESSAGES)
        room = min(self._options.max_bytes, MAX_REQUEST_BYTES) - TOPIC_FIELD_BYTES
        taken: list[Outgoing] = []
        while self._waiting and len(taken) < count:
            room -= self._waiting[0].size
            if taken and room < 0:
                break
            taken.append(self._waiting.popleft())
            self._waiting_bytes -= taken[-1].size
        self._is_urgent = self._is_urgent and bool(self._waiting)
        return taken

    def take_all(self) -> list[Outgoing]:
        """Remove all messages that wait, and return them."""
        return self._take_where(lambda message: True)

    def take_older(self, than: float) -> list[Outgoing]:
        """Remove the messages that were handed over before a time, and return them."""
        if not self._parts and not (self._waiting and self._waiting[0].handed_at <= than):
            return []
        return self._take_where(lambda message: message.handed_at <= than)

    def _take_where(self, condition: Callable[[Outgoing], bool]) -> list[Outgoing]:
        taken = [message for part in self._parts for message in part if condition(message)]
        taken += [message for message in self._waiting if condition(message)]
        if taken:
            parts = [[m for m in part if not condition(m)] for part in self._parts]
            self._parts = deque(part for part in parts if part)
            self._waiting = deque(m for m in self._waiting if not condition(m))
            self._waiting_bytes = sum(message.size for message in self._waiting)
        return taken


@dataclass(eq=False)
class Request:
    """Messages of one lane that are sent together."""

    lane: Lane
    messages: list[Outgoing]
    sent_at: float
    timeout: float
    """Seconds until the attempt is given up."""
    waits_for_connection: bool
    """Whether gRPC waits for a connection instead of failing at once: the last request failed."""

    @property
    def topic(self) -> str:
        """The topic's id, without the project."""
        return self.lane.topic.name
