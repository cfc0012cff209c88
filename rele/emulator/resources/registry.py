"""The topics and subscriptions that exist."""

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.ledger import Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.resources import configuration
from rele.emulator.resources.codec import stored
from rele.emulator.resources.ignored import warn_of_ignored_settings
from rele.emulator.resources.journal import NO_JOURNAL, Journal, Kind
from rele.emulator.resources.retention import RetentionLog
from rele.emulator.resources.subscription import Subscription
from rele.emulator.resources.topic import Topic
from rele.emulator.rules import names
from rele.emulator.rules.refusals import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from rele.emulator.wire.classes import RawMessage

_DETACHED = "The subscription is detached from its topic."


class NewBacklog(Protocol):
    """Makes the backlog of a subscription, whose messages are ``ordered`` or not."""

    def __call__(self, *, ordered: bool, ledger: Ledger) -> Backlog: ...


class Registry:
    """Every topic and subscription of the server, by name.

    Names have to be well formed. Looking one up raises ``NotFoundError``, creating one that
    exists ``AlreadyExistsError``, a wrong configuration ``InvalidArgumentError``.

    Args:
        new_backlog: makes the backlog of a subscription.
        wall_clock: the time in nanoseconds since the epoch.
        journal: where everything that has to outlive the server is reported.
        last_id: the largest message id of the earlier server.

    Message ids count on from the microseconds since the epoch at the start: they look like the
    service's, and those of a restarted server do not repeat earlier ones.
    """

    def __init__(
        self,
        new_backlog: NewBacklog,
        wall_clock: Callable[[], int] = time.time_ns,
        journal: Journal = NO_JOURNAL,
        last_id: int = 0,
    ) -> None:
        self.journal = journal
        self._new_backlog = new_backlog
        self._wall_clock = wall_clock
        self._message_ids = count(max(wall_clock() // 1000, last_id + 1))
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

    def now(self) -> int:
        """Microseconds since the epoch."""
        return self._wall_clock() // 1000

    def topic(self, name: str) -> Topic:
        try:
            return self._topics[name]
        except KeyError:
            raise NotFoundError(name) from None

    def subscription(self, name: str) -> Subscription:
        try:
            subscription = self._subscriptions[name]
        except KeyError:
            raise NotFoundError(name) from None
        subscription.last_used = self.now()
        return subscription

    def attached_subscription(self, name: str) -> Subscription:
        """The subscription of that name. Raises ``FailedPreconditionError`` if it is detached."""
        subscription = self.subscription(name)
        if subscription.config.detached:
            raise FailedPreconditionError(_DETACHED)
        return subscription

    def create_topic(self, requested: RawMessage) -> Topic:
        if requested.name in self._topics:
            raise AlreadyExistsError(requested.name)
        config = configuration.new_topic(requested)
        warn_of_ignored_settings(config)
        self.journal.put(Kind.TOPIC, requested.name, config)
        topic = Topic(config, log_ledger=self.journal.log(Kind.TOPIC, requested.name))
        topic.configure(config)
        self._topics[requested.name] = topic
        return topic

    def delete_topic(self, name: str) -> None:
        """Delete a topic. Its subscriptions stay with their messages, and get no new ones."""
        topic = self.topic(name)
        del self._topics[name]
        self.journal.delete(Kind.TOPIC, name)
        for subscription in topic.subscriptions.values():
            self._configure(
                subscription, configuration.with_topic(subscription.config, names.DELETED_TOPIC)
            )

    def create_subscription(self, requested: RawMessage) -> Subscription:
        if requested.name in self._subscriptions:
            raise AlreadyExistsError(requested.name)
        topic = self.topic(requested.topic)
        config = configuration.new_subscription(requested)
        self._check_dead_letter_topic(config)
        warn_of_ignored_settings(config)
        self.journal.put(Kind.SUBSCRIPTION, requested.name, config)
        subscription = self._new_subscription(config)
        self._configure(subscription, config)
        if self._unavailable is not None:
            subscription.backlog.close(self._unavailable)
        self._subscriptions[requested.name] = subscription
        topic.subscriptions[requested.name] = subscription
        return subscription

    def restore_topic(self, config: RawMessage, logged: Sequence[StoredMessage]) -> None:
        """Add a topic of an earlier server, with its retained messages."""
        ledger = self.journal.log(Kind.TOPIC, config.name)
        topic = Topic(config, log=RetentionLog(ledger, logged), log_ledger=ledger)
        topic.configure(config)
        self._topics[config.name] = topic

    def restore_subscription(
        self,
        config: RawMessage,
        messages: Sequence[StoredMessage],
        logged: Sequence[StoredMessage],
        attempts: dict[int, int],
    ) -> None:
        """Add a subscription of an earlier server; its topic, if it exists, was added before.

        ``messages`` are unacknowledged and ``logged`` retained, both in the order of publishing.
        ``attempts`` has the number of the next attempt by message id; an absent id starts at 1.
        """
        subscription = self._new_subscription(config)
        subscription.log = RetentionLog(subscription.log_ledger, logged)
        subscription.backlog.restore(messages, attempts)
        subscription.configure(config, self._forward)
        self._subscriptions[config.name] = subscription
        if config.detached:
            subscription.backlog.close(FailedPreconditionError(_DETACHED))
        elif config.topic in self._topics:
            self._topics[config.topic].subscriptions[config.name] = subscription

    def update_topic(self, request: RawMessage) -> Topic:
        """Do what an ``UpdateTopicRequest`` asks for."""
        topic = self.topic(request.topic.name)
        topic.configure(configuration.updated_topic(topic.config, request))
        warn_of_ignored_settings(topic.config)
        self.journal.put(Kind.TOPIC, topic.config.name, topic.config)
        for subscription in topic.subscriptions.values():
            self._configure(subscription, subscription.config)
        return topic

    def update_subscription(self, request: RawMessage) -> Subscription:
        """Do what an ``UpdateSubscriptionRequest`` asks for."""
        subscription = self.subscription(request.subscription.name)
        config = configuration.updated_subscription(subscription.config, request)
        if "dead_letter_policy" in request.update_mask.paths:
            self._check_dead_letter_topic(config)
        warn_of_ignored_settings(config)
        self._configure(subscription, config)
        return subscription

    def set_push_config(self, name: str, push_config: RawMessage) -> None:
        """Do what a ``ModifyPushConfigRequest`` asks for."""
        subscription = self.subscription(name)
        self._configure(
            subscription, configuration.with_push_config(subscription.config, push_config)
        )

    def detach_subscription(self, name: str) -> None:
        """Drop a subscription's messages for good; its streams and Pulls end."""
        subscription = self.subscription(name)
        self._leave_topic(subscription)
        self._configure(subscription, configuration.detached(subscription.config))
        subscription.drop_log()
        subscription.backlog.replace(())
        subscription.backlog.close(FailedPreconditionError(_DETACHED))

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription with its messages; its streams and Pulls end as not found."""
        subscription = self.subscription(name)
        del self._subscriptions[name]
        self.journal.delete(Kind.SUBSCRIPTION, name)
        self._leave_topic(subscription)
        subscription.backlog.close(NotFoundError(name))

    def publish(self, topic: Topic, messages: Sequence[RawMessage]) -> list[StoredMessage]:
        """Give ``PubsubMessage``s their ids and add them to the subscriptions of ``topic``."""
        now = self.now()
        publications = [
            stored(message, message_id, now)
            for message, message_id in zip(messages, self._message_ids, strict=False)
        ]
        topic.publish(publications, messages)
        return publications

    def sweep(self) -> None:
        """Forget messages past their retention, and subscriptions that were unused for too long."""
        now = self.now()
        for topic in self._topics.values():
            topic.drop_expired(now)
        for name, subscription in tuple(self._subscriptions.items()):
            subscription.drop_expired(now)
            if subscription.is_idle(now):
                self.delete_subscription(name)

    def shut_down(self, reason: UnavailableError) -> None:
        """End every stream and waiting Pull with ``reason``, and refuse new ones."""
        self._unavailable = reason
        for subscription in self._subscriptions.values():
            subscription.backlog.close(reason)

    def _configure(self, subscription: Subscription, config: RawMessage) -> None:
        topic = self._topics.get(config.topic)
        if topic is not None:
            config = configuration.with_topic_retention(config, topic.config)
        subscription.configure(config, self._forward)
        self.journal.put(Kind.SUBSCRIPTION, config.name, config)

    def _new_subscription(self, config: RawMessage) -> Subscription:
        """A subscription that has yet to be configured; the journal knows it."""
        ledger = self.journal.ledger(Kind.SUBSCRIPTION, config.name)
        backlog = self._new_backlog(ordered=config.enable_message_ordering, ledger=ledger)
        log_ledger = self.journal.log(Kind.SUBSCRIPTION, config.name)
        return Subscription(config, backlog, last_used=self.now(), log_ledger=log_ledger)

    def _leave_topic(self, subscription: Subscription) -> None:
        topic = self._topics.get(subscription.config.topic)
        if topic is not None:
            topic.subscriptions.pop(subscription.config.name, None)

    def _forward(self, topic: str, message: RawMessage) -> bool:
        """Publish a dead letter, unless its topic is gone."""
        found = self._topics.get(topic)
        if found is not None:
            self.publish(found, [message])
        return found is not None

    def _check_dead_letter_topic(self, config: RawMessage) -> None:
        if config.HasField("dead_letter_policy"):
            name = config.dead_letter_policy.dead_letter_topic
            names.check_topic(name, "dead_letter_policy.dead_letter_topic")
            self.topic(name)
