"""The topics and subscriptions that exist, and the way of a message from one to the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rele.emulator import configs, names
from rele.emulator.delivery_state import DeliveryState
from rele.emulator.errors import AlreadyExistsError, NotFoundError, UnavailableError
from rele.emulator.messages import StoredMessage
from rele.emulator.protocol import RawMessage


@dataclass(slots=True, eq=False)
class Subscription:
    """A subscription: its ``google.pubsub.v1.Subscription`` and what becomes of its messages."""

    config: RawMessage
    delivery: DeliveryState

    def configure(self, config: RawMessage) -> None:
        """Live by ``config`` from now on."""
        self.config = config
        self.delivery.backoff = configs.backoff_of(config)


@dataclass(slots=True, eq=False)
class Topic:
    """A topic: its ``google.pubsub.v1.Topic`` and its subscriptions by name."""

    config: RawMessage
    subscriptions: dict[str, Subscription] = field(default_factory=dict)


class Registry:
    """Every topic and subscription of the server, by name.

    Names are taken to be well formed. Looking one up raises ``NotFoundError``, creating one that
    exists ``AlreadyExistsError``, a wrong configuration ``InvalidArgumentError``.
    """

    def __init__(self, new_delivery: Callable[[], DeliveryState]) -> None:
        self._new_delivery = new_delivery
        self._topics: dict[str, Topic] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._unavailable: UnavailableError | None = None

    @property
    def topics(self) -> dict[str, Topic]:
        """The topics by name; for reading only."""
        return self._topics

    @property
    def subscriptions(self) -> dict[str, Subscription]:
        """The subscriptions by name; for reading only."""
        return self._subscriptions

    def topic(self, name: str) -> Topic:
        try:
            return self._topics[name]
        except KeyError:
            raise NotFoundError(name) from None

    def subscription(self, name: str) -> Subscription:
        try:
            return self._subscriptions[name]
        except KeyError:
            raise NotFoundError(name) from None

    def create_topic(self, requested: RawMessage) -> Topic:
        if requested.name in self._topics:
            raise AlreadyExistsError(requested.name)
        topic = Topic(configs.new_topic(requested))
        self._topics[requested.name] = topic
        return topic

    def delete_topic(self, name: str) -> None:
        """Delete a topic. Its subscriptions stay, with what they have, and get nothing more."""
        topic = self.topic(name)
        del self._topics[name]
        for subscription in topic.subscriptions.values():
            subscription.configure(configs.with_topic(subscription.config, names.DELETED_TOPIC))

    def create_subscription(self, requested: RawMessage) -> Subscription:
        if requested.name in self._subscriptions:
            raise AlreadyExistsError(requested.name)
        topic = self.topic(requested.topic)
        config = configs.new_subscription(requested)
        subscription = Subscription(config, self._new_delivery())
        subscription.configure(config)
        if self._unavailable is not None:
            subscription.delivery.close(self._unavailable)
        self._subscriptions[requested.name] = subscription
        topic.subscriptions[requested.name] = subscription
        return subscription

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription with its messages; its streams and Pulls end as not found."""
        subscription = self.subscription(name)
        del self._subscriptions[name]
        topic = self._topics.get(subscription.config.topic)
        if topic is not None:
            topic.subscriptions.pop(name, None)
        subscription.delivery.close(NotFoundError(name))

    def publish(self, topic: Topic, messages: Sequence[StoredMessage]) -> None:
        """Hand messages to every subscription of ``topic``."""
        for subscription in topic.subscriptions.values():
            subscription.delivery.publish(messages)

    def shut_down(self, reason: UnavailableError) -> None:
        """End every stream and waiting Pull with ``reason``, and refuse new ones."""
        self._unavailable = reason
        for subscription in self._subscriptions.values():
            subscription.delivery.close(reason)
