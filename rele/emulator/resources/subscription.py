"""A subscription: its configuration, its backlog, and the messages that it retains.

Times are in microseconds since the epoch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.dead_letters import DeadLetters, source_attributes
from rele.emulator.delivery.ledger import NO_LEDGER, Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.resources import configuration
from rele.emulator.resources.codec import original
from rele.emulator.resources.retention import RetentionLog
from rele.emulator.resources.snapshot import Snapshot, matching
from rele.emulator.rules.filters import Filter
from rele.emulator.rules.limits import seconds_of
from rele.emulator.wire.classes import RawMessage

Forward: TypeAlias = Callable[[str, RawMessage], bool]
"""Publishes a message to the topic of that name, and returns whether that exists."""


_FILTERED_AT_ONCE = 1000


def dead_letters_of(config: RawMessage, forward: Forward, ledger: Ledger) -> DeadLetters | None:
    """The dead-letter policy of a subscription with that backlog, if it has one."""
    policy = config.dead_letter_policy
    if not policy.dead_letter_topic:
        return None

    def forward_with_source(message: StoredMessage, attempts: int) -> bool:
        (encoded,) = ledger.encoded([message])
        if encoded is None:
            return False
        copy = original(encoded)
        copy.attributes.update(source_attributes(config.name, message, attempts))
        return forward(policy.dead_letter_topic, copy)

    return DeadLetters(policy.max_delivery_attempts, forward_with_source)


@dataclass(slots=True, eq=False)
class Subscription:
    """A subscription: its ``google.pubsub.v1.Subscription``, its backlog and retained messages.

    ``log`` has its messages, acknowledged or not, where it retains them. ``last_used`` is when it
    was last named in a request.
    """

    config: RawMessage
    backlog: Backlog
    filter: Filter | None = None
    log: RetentionLog | None = None
    last_used: int = 0
    log_ledger: Ledger = NO_LEDGER

    def configure(self, config: RawMessage, forward: Forward) -> None:
        """Apply ``config`` from now on; ``forward`` publishes dead letters."""
        self.config = config
        self.filter = configuration.filter_of(config)
        self.backlog.configure(
            backoff=configuration.backoff_of(config),
            dead_letters=dead_letters_of(config, forward, self.backlog.ledger),
            exactly_once=config.enable_exactly_once_delivery,
        )
        if not config.retain_acked_messages:
            self.drop_log()
        elif self.log is None:
            self.log = RetentionLog(self.log_ledger)
            self.log.fill(self.backlog.unacknowledged())

    def drop_log(self) -> None:
        """Stop retaining acknowledged messages."""
        if self.log is not None:
            self.log.fill(())
        self.log = None

    def publish(self, messages: Sequence[StoredMessage], originals: Sequence[RawMessage]) -> None:
        """Add those of the new ``messages`` that match; ``originals`` are as they were sent."""
        messages = matching(self.filter, messages, originals)
        if not messages:
            return
        if self.log is not None:
            self.log.extend(messages)
        self.backlog.publish(messages)

    def seek_to_time(self, time: int, topic_log: RetentionLog | None) -> None:
        """Make unacknowledged exactly the messages published at ``time`` or later.

        An acknowledged message is redelivered only if the subscription or its topic retained it,
        or if an earlier message of its ordering key is redelivered.
        """
        found = {message.id: message for message in self.backlog.redeliverable()}
        if self.log is not None:
            found.update((message.id, message) for message in self.log.since(time))
        if topic_log is not None:
            found.update((each.id, each) for each in self._matching(topic_log.since(time)))
        self.backlog.replace(
            [found[number] for number in sorted(found) if found[number].publish_time >= time]
        )

    def seek_to_snapshot(self, snapshot: Snapshot) -> None:
        """Make unacknowledged exactly the messages of the snapshot."""
        self.backlog.replace(list(self._matching(snapshot.messages)))

    def drop_expired(self, now: int) -> None:
        """Forget messages that are older than the retention."""
        oldest = now - int(seconds_of(self.config.message_retention_duration) * 1_000_000)
        self.backlog.drop_older(oldest)
        if self.log is not None:
            self.log.drop_older(oldest)

    def is_idle(self, now: int) -> bool:
        """Whether it was unused for so long that it expires."""
        if self.backlog.consumed:
            self.last_used = now
        policy = self.config.expiration_policy
        return policy.HasField("ttl") and now - self.last_used > seconds_of(policy.ttl) * 1_000_000

    def _matching(self, messages: Iterable[StoredMessage]) -> Iterable[StoredMessage]:
        if self.filter is None:
            return messages
        return self._filtered(self.filter, messages)

    def _filtered(
        self, matches: Filter, messages: Iterable[StoredMessage]
    ) -> Iterator[StoredMessage]:
        remaining = iter(messages)
        while some := list(islice(remaining, _FILTERED_AT_ONCE)):
            for message, encoded in zip(some, self.backlog.ledger.encoded(some), strict=True):
                if encoded is not None and matches(original(encoded).attributes):
                    yield message
