"""Metrics for Prometheus of what a process publishes and consumes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rele.contrib.prometheus.metrics import (
    ACK_FAILURES,
    DUPLICATES,
    PUBLISH_FAILURES,
    PUBLISHED,
    MetricsOfSubscription,
    PublishCounter,
    begin_at_zero,
)
from rele.contrib.prometheus.rendering import show_in_this_process
from rele.contrib.prometheus.several_processes import files_of_processes
from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.middleware import BaseMiddleware, no_io
from rele.status.providers import STATUS

_published = PublishCounter(PUBLISHED)
_failed = PublishCounter(PUBLISH_FAILURES)


class PrometheusMiddleware(BaseMiddleware):
    """Counts in prometheus-client's default registry, and answers ``/metrics`` of the worker.

    It needs the extra ``prometheus``. What it counts is listed in ``docs/operations.rst``.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, MetricsOfSubscription] = {}

    def setup(self, config: Any, **kwargs: Any) -> None:
        show_in_this_process()

    @classmethod
    @contextmanager
    def beside_processes(cls, config: Any) -> Iterator[None]:
        """Let several processes count in files, which the one beside them reads."""
        with files_of_processes():
            yield

    def post_worker_start(self) -> None:
        for status in STATUS.snapshot().subscriptions:
            begin_at_zero(status.name)

    def post_publish_success(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        _published.count(topic)

    def post_publish_failure(self, topic: str, exception: BaseException, message: Any) -> None:
        _failed.count(topic)

    @no_io
    def post_process_message_success(
        self, subscription: Subscription, start_time: float, message: Message
    ) -> None:
        now = time.time()
        try:  # for it takes half the time of a call
            metrics = self._subscriptions[subscription]
        except KeyError:
            metrics = self._of(subscription)
        metrics.note_success(start_time, now, message)

    @no_io
    def post_process_message_failure(
        self,
        subscription: Subscription,
        exception: BaseException,
        start_time: float,
        message: Message,
    ) -> None:
        now = time.time()
        self._of(subscription).note_failure(exception, start_time, now, message)

    @no_io
    def post_process_batch(
        self, subscription: Subscription, start_time: float, messages: Sequence[Message]
    ) -> None:
        seconds = time.time() - start_time
        self._of(subscription).note_batch(seconds, len(messages))

    @no_io
    def post_process_message_duplicate(self, subscription: Subscription, message: Message) -> None:
        DUPLICATES.labels(subscription.name).inc()

    @no_io
    def post_ack_failure(
        self, subscription: Subscription, exception: BaseException, message: Message
    ) -> None:
        ACK_FAILURES.labels(subscription.name).inc()

    def _of(self, subscription: Subscription) -> MetricsOfSubscription:
        known = self._subscriptions.get(subscription)
        if known is None:
            known = self._subscriptions[subscription] = MetricsOfSubscription(subscription)
        return known
