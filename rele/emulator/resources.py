"""A topic and a subscription: what they are set to, and what becomes of a message in them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from rele.emulator import configs
from rele.emulator.dead_letters import DeadLetters, source_attributes
from rele.emulator.delivery_state import DeliveryState
from rele.emulator.filters import Filter
from rele.emulator.messages import StoredMessage
from rele.emulator.protocol import RawMessage, restored

Forward: TypeAlias = Callable[[str, RawMessage], bool]
"""Publishes a message to the topic of that name, and returns whether that exists."""


def dead_letters_of(config: RawMessage, forward: Forward) -> DeadLetters | None:
    """The dead-letter policy of a subscription, if it has one."""
    policy = config.dead_letter_policy
    if not policy.dead_letter_topic:
        return None

    def forward_with_source(message: StoredMessage, attempts: int) -> bool:
        copy = restored(message)
        copy.attributes.update(source_attributes(config.name, message, attempts))
        return forward(policy.dead_letter_topic, copy)

    return DeadLetters(policy.max_delivery_attempts, forward_with_source)


@dataclass(slots=True, eq=False)
class Subscription:
    """A subscription: its ``google.pubsub.v1.Subscription`` and what becomes of its messages."""

    config: RawMessage
    delivery: DeliveryState
    filter: Filter | None = None

    def configure(self, config: RawMessage, forward: Forward) -> None:
        """Live by ``config`` from now on; ``forward`` publishes dead letters."""
        self.config = config
        self.filter = configs.filter_of(config)
        self.delivery.backoff = configs.backoff_of(config)
        self.delivery.dead_letters = dead_letters_of(config, forward)
        self.delivery.exactly_once = config.enable_exactly_once_delivery

    def publish(
        self, messages: Sequence[StoredMessage], attributes: Sequence[Mapping[str, str]]
    ) -> None:
        """Take those of the new ``messages`` that match; each has its ``attributes``."""
        matches = self.filter
        if matches is not None:
            messages = [
                message for message, its in zip(messages, attributes, strict=True) if matches(its)
            ]
        if messages:
            self.delivery.publish(messages)


@dataclass(slots=True, eq=False)
class Topic:
    """A topic: its ``google.pubsub.v1.Topic`` and its subscriptions by name."""

    config: RawMessage
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def publish(
        self, messages: Sequence[StoredMessage], attributes: Sequence[Mapping[str, str]]
    ) -> None:
        """Hand new ``messages``, each with its ``attributes``, to every subscription."""
        # A copy: a message that is refused while it is handed out may be published again here.
        for subscription in tuple(self.subscriptions.values()):
            subscription.publish(messages, attributes)
