"""What is counted where it happens, in prometheus-client's own metrics."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram

from rele.declaration.skips import current_call
from rele.exceptions import (
    DeadLetter,
    DecodeError,
    Drop,
    OrderingKeyFailed,
    Reject,
    Retry,
)

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message

OUTCOMES_OF_ERRORS: tuple[tuple[type[BaseException], str], ...] = (
    (OrderingKeyFailed, "not_handled"),
    (Drop, "dropped"),
    (Retry, "retried"),
    (DeadLetter, "dead_lettered"),
    (Reject, "rejected"),
    (DecodeError, "undecodable"),
)
"""The first that fits counts; any other error is ``failed``."""

WITHOUT_HANDLER = frozenset({"undecodable", "not_handled", "filtered", "duplicate"})
"""Outcomes of messages whose handler did not run."""

OUTCOMES = (
    "succeeded",
    "failed",
    *(name for _, name in OUTCOMES_OF_ERRORS),
    "filtered",
    "duplicate",
)
"""All that can become of a message."""

HANDLER_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
"""Seconds."""

WAIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds."""

BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

MESSAGES = Counter(
    "rele_messages_total",
    "Messages that were handled, and how that ended. Each delivery counts.",
    ["subscription", "outcome"],
)
HANDLER_SECONDS = Histogram(
    "rele_handler_seconds",
    "How long handlers ran, until their messages were settled; of a batch, once.",
    ["subscription"],
    buckets=HANDLER_BUCKETS,
)
PUBLISH_TO_HANDLE_SECONDS = Histogram(
    "rele_publish_to_handle_seconds",
    "The time from when Pub/Sub accepted a message until its handler began, at each delivery.",
    ["subscription"],
    buckets=WAIT_BUCKETS,
)
BATCH_SIZE = Histogram(
    "rele_batch_size",
    "How many messages handlers of batches got at a time.",
    ["subscription"],
    buckets=BATCH_BUCKETS,
)
DUPLICATES = Counter(
    "rele_inbox_duplicates_total",
    "Messages that the inbox had recorded already, so that their handler did not run.",
    ["subscription"],
)
ACK_FAILURES = Counter(
    "rele_ack_failures_total",
    "Acks that Pub/Sub did not confirm, with exactly-once delivery.",
    ["subscription"],
)
PUBLISHED = Counter("rele_published_total", "Messages that Pub/Sub has accepted.", ["topic"])
PUBLISH_FAILURES = Counter(
    "rele_publish_failures_total",
    "Messages that Pub/Sub has not accepted, or not in time.",
    ["topic"],
)


def begin_at_zero(subscription: str) -> None:
    """Show the metrics of a subscription before its first message.

    A rate does not see that a counter appears, so the first message, or failure, would be missing.
    """
    for outcome in OUTCOMES:
        MESSAGES.labels(subscription, outcome)
    for metric in (HANDLER_SECONDS, PUBLISH_TO_HANDLE_SECONDS, DUPLICATES, ACK_FAILURES):
        metric.labels(subscription)


class MetricsOfSubscription:
    """The metrics of one subscription, whose labels are looked up once.

    Args:
        subscription: whose they are.
    """

    __slots__ = ("_handler_seconds", "_is_batch", "_outcomes", "_succeeded", "_waited", "name")

    def __init__(self, subscription: Subscription) -> None:
        self.name = subscription.name
        self._is_batch = subscription.batch is not None
        self._succeeded = MESSAGES.labels(self.name, "succeeded").inc
        self._outcomes: dict[str, Counter] = {}
        self._handler_seconds = HANDLER_SECONDS.labels(self.name).observe
        self._waited = PUBLISH_TO_HANDLE_SECONDS.labels(self.name).observe
        begin_at_zero(self.name)
        if self._is_batch:
            BATCH_SIZE.labels(self.name)

    def note_success(self, start: float, now: float, message: Message) -> None:
        """Count a message that has succeeded, from ``start`` to ``now`` in epoch seconds."""
        call: Any = current_call()
        if call is not None:  # else a test calls the hook
            skipped = call.why_skipped(message) if self._is_batch else call.skipped
            if skipped is not None:
                self._outcome(skipped).inc()
                return
        self._succeeded()
        if not self._is_batch:
            self._handler_seconds(now - start)
        wait = start - message.publish_timestamp
        self._waited(wait if wait > 0.0 else 0.0)  # clocks differ

    def note_failure(
        self, error: BaseException, start: float, now: float, message: Message
    ) -> None:
        """Count a message that has failed."""
        outcome = outcome_of(error)
        self._outcome(outcome).inc()
        if outcome in WITHOUT_HANDLER:
            return
        if not self._is_batch:
            self._handler_seconds(now - start)
        self._waited(max(start - message.publish_timestamp, 0.0))

    def note_batch(self, seconds: float, size: int) -> None:
        """Count a batch of so many messages."""
        self._handler_seconds(seconds)
        BATCH_SIZE.labels(self.name).observe(size)

    def _outcome(self, outcome: str) -> Counter:
        counter = self._outcomes.get(outcome)
        if counter is None:
            counter = self._outcomes[outcome] = MESSAGES.labels(self.name, outcome)
        return counter


def outcome_of(error: BaseException) -> str:
    """The label of a message that has failed with ``error``."""
    return next((name for kind, name in OUTCOMES_OF_ERRORS if isinstance(error, kind)), "failed")


class PublishCounter:
    """A counter by topic that may be used in a signal handler, a finaliser or a log handler.

    Such a call may interrupt another one in the same thread, while that has a lock of
    prometheus-client. So it leaves what it counts to that one.

    Args:
        counter: with the one label ``topic``.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._pending: deque[str] = deque()
        self._lock = threading.Lock()

    def count(self, topic: str) -> None:
        """Count one message of ``topic``."""
        self._pending.append(topic)
        while self._pending and self._lock.acquire(blocking=False):
            try:
                while self._pending:
                    self._counter.labels(self._pending.popleft()).inc()
            finally:
                self._lock.release()
