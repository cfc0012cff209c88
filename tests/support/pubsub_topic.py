"""A topic and its subscription, made by Google's client on whatever the environment leads to."""

from __future__ import annotations

import uuid
from typing import Any

from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient, PullRequest

from tests.support.handled import PROJECT


class TopicWithSubscription:
    """A topic and a subscription of one name, and a topic for dead letters with its own.

    Args:
        fields: of the subscription, such as ``enable_exactly_once_delivery``.
        max_delivery_attempts: of a dead-letter policy; ``None``: without one.
    """

    def __init__(self, *, max_delivery_attempts: int | None = None, **fields: Any) -> None:
        self.name = f"orders-{uuid.uuid4().hex}"
        # The generated client sends several messages in one request; the other one knows where.
        self._publisher = PublisherClient(transport=pubsub_v1.PublisherClient().transport)
        self._subscriber = pubsub_v1.SubscriberClient()
        self._topic = self._create_topic(self.name)
        self._dead = self._create_topic(f"{self.name}-dead")
        self._dead_subscription = self._subscribe(f"{self.name}-dead", self._dead)
        if max_delivery_attempts is not None:
            fields["dead_letter_policy"] = {
                "dead_letter_topic": self._dead,
                "max_delivery_attempts": max_delivery_attempts,
            }
        self.subscription = self._subscribe(self.name, self._topic, **fields)

    def publish(self, *data: bytes, key: str = "") -> None:
        """Publish messages, in one request."""
        messages = [{"data": each, "ordering_key": key} for each in data]
        self._publisher.publish(request={"topic": self._topic, "messages": messages})

    def dead_letters(self) -> list[bytes]:
        """The data of what lies in the dead-letter topic and was not returned before."""
        request = PullRequest(
            subscription=self._dead_subscription, max_messages=1000, return_immediately=True
        )
        response = self._subscriber.transport.pull(
            request, timeout=10, metadata=()
        )  # the client warns
        if ack_ids := [each.ack_id for each in response.received_messages]:
            self._subscriber.acknowledge(
                request={"subscription": self._dead_subscription, "ack_ids": ack_ids}
            )
        return [each.message.data for each in response.received_messages]

    def close(self) -> None:
        self._publisher.transport.close()
        self._subscriber.close()

    def _create_topic(self, name: str) -> str:
        path = f"projects/{PROJECT}/topics/{name}"
        self._publisher.create_topic(name=path)
        return path

    def _subscribe(self, name: str, topic: str, **fields: Any) -> str:
        path = f"projects/{PROJECT}/subscriptions/{name}"
        self._subscriber.create_subscription(request={"name": path, "topic": topic, **fields})
        return path
