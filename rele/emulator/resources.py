"""A topic and a subscription: what they are set to, and what becomes of a message in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rele.emulator import configs
from rele.emulator.delivery_state import DeliveryState
from rele.emulator.filters import Filter
from rele.emulator.messages import StoredMessage
from rele.emulator.protocol import RawMessage


@dataclass(slots=True, eq=False)
class Subscription:
    """A subscription: its ``google.pubsub.v1.Subscription`` and what becomes of its messages."""

    config: RawMessage
    delivery: DeliveryState
    filter: Filter | None = None

    def configure(self, config: RawMessage) -> None:
        """Live by ``config`` from now on."""
        self.config = config
        self.filter = configs.filter_of(config)
        self.delivery.backoff = configs.backoff_of(config)

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
