"""A topic: its configuration, and the distribution of messages to its subscriptions.

Times are in microseconds since the epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rele.emulator.delivery.ledger import NO_LEDGER, Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.resources.retention import RetentionLog
from rele.emulator.resources.snapshot import Snapshot
from rele.emulator.resources.subscription import Subscription
from rele.emulator.rules.limits import seconds_of
from rele.emulator.wire.classes import RawMessage


@dataclass(slots=True, eq=False)
class Topic:
    """A topic: its ``google.pubsub.v1.Topic``, its subscriptions and snapshots by name.

    ``log`` has its messages where it retains them.
    """

    config: RawMessage
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    log: RetentionLog | None = None
    log_ledger: Ledger = NO_LEDGER

    def configure(self, config: RawMessage) -> None:
        """Apply ``config`` from now on."""
        self.config = config
        if not config.HasField("message_retention_duration"):
            if self.log is not None:
                self.log.fill(())
            self.log = None
        elif self.log is None:
            self.log = RetentionLog(self.log_ledger)

    def publish(self, messages: Sequence[StoredMessage], originals: Sequence[RawMessage]) -> None:
        """Add new ``messages`` to every subscription; ``originals`` are as they were sent."""
        if self.log is not None:
            self.log.extend(messages)
        for snapshot in self.snapshots.values():
            snapshot.publish(messages, originals)
        for subscription in self.subscriptions.values():
            subscription.publish(messages, originals)

    def drop_expired(self, now: int) -> None:
        """Forget messages that are older than the retention."""
        if self.log is not None:
            retention = seconds_of(self.config.message_retention_duration)
            self.log.drop_older(now - int(retention * 1_000_000))
