"""A subscription with a dead-letter policy, and dead letters of it, on a running server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from google.api_core.exceptions import DeadlineExceeded
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient

from rele.cli.subcommand import Subcommand
from rele.messages.dead_letter_attributes import failure_attributes, source_attributes
from rele.project.loading import Project, load_settings
from rele.resources.desired import dead_letter_subscription
from tests.support.streams import SOON

QUICK = ("--wait", "0.5")
"""For a server that answers within milliseconds."""

_MOMENT = 0.1
"""Seconds in which it would have answered."""


class Letters:
    """The topic and the subscription ``orders``, and the dead-letter topic with its subscription.

    Args:
        project_id: of a project that no other test uses, where the environment leads to.
        dead_subscription: whether the dead-letter topic has its subscription.
    """

    def __init__(self, project_id: str, *, dead_subscription: bool = True) -> None:
        self.project_id = project_id
        self.publisher = PublisherClient(transport=pubsub_v1.PublisherClient().transport)
        self.subscriber = pubsub_v1.SubscriberClient()
        self.topic, self.dead_topic = map(self.create_topic, ("orders", "orders-dead-letter"))
        self.dead = dead_letter_subscription(self.dead_topic).path
        if dead_subscription:
            self.subscribe("orders-dead-letter", self.dead_topic)
        policy = {"dead_letter_topic": self.dead_topic, "max_delivery_attempts": 5}
        self.subscription = self.subscribe(
            "orders", self.topic, dead_letter_policy=policy, enable_message_ordering=True
        )

    def create_topic(self, name: str) -> str:
        path = f"projects/{self.project_id}/topics/{name}"
        self.publisher.create_topic(name=path)
        return path

    def subscribe(self, name: str, topic: str, **fields: Any) -> str:
        path = f"projects/{self.project_id}/subscriptions/{name}"
        self.subscriber.create_subscription(request={"name": path, "topic": topic, **fields})
        return path

    def put(
        self,
        *data: bytes,
        key: str = "",
        error: BaseException | None = None,
        source: str | None = None,
        handler: str = "shop.subs.ship",
        **attributes: str,
    ) -> list[str]:
        """Publish dead letters as a worker does; return their message ids."""
        failure = {} if error is None else failure_attributes(error, handler)
        origin = source_attributes(source or self.subscription, datetime.now(timezone.utc), 5)
        messages = [
            {"data": each, "attributes": {**attributes, **origin, **failure}, "ordering_key": key}
            for each in data
        ]
        return list(
            self.publisher.publish(
                request={"topic": self.dead_topic, "messages": messages}
            ).message_ids
        )

    def pull(self, subscription: str, number: int = 0) -> list[Any]:
        """The messages that wait in a subscription and are nobody's; they are acknowledged.

        Args:
            subscription: its path.
            number: how many to wait for.
        """
        found: list[Any] = []
        while received := self._pull(subscription, SOON if len(found) < number else _MOMENT):
            self.subscriber.acknowledge(
                request={"subscription": subscription, "ack_ids": [e.ack_id for e in received]}
            )
            found += [each.message for each in received]
        return found

    def close(self) -> None:
        self.publisher.transport.close()
        self.subscriber.close()

    def _pull(self, subscription: str, seconds: float) -> Sequence[Any]:
        request = {"subscription": subscription, "max_messages": 1000}
        try:
            response = self.subscriber.pull(request=request, timeout=seconds)
        except DeadlineExceeded:
            return ()
        received: Sequence[Any] = response.received_messages
        return received


def run(command: Subcommand, *arguments: str, project: Project) -> int:
    """Run a subcommand in this process; return its exit status."""
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())
    options = vars(parser.parse_args([command.name, *arguments]))
    return command.run({**options, "load_project": lambda: project})


def project_of(project_id: str, **settings: Any) -> Project:
    return load_settings({"GC_PROJECT_ID": project_id, "MIDDLEWARE": [], **settings})
