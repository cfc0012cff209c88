"""Snapshots: the unacknowledged messages of a subscription at a time, and all later ones.

The rules are those of "Replay and purge messages with seek" in the Pub/Sub documentation, and of
Snapshot in the API reference. Times are in microseconds since the epoch.
"""

from collections.abc import Iterable, Sequence

from rele.emulator.delivery.ledger import NO_LEDGER, Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.rules import limits
from rele.emulator.rules.filters import Filter, compile_filter
from rele.emulator.rules.refusals import FailedPreconditionError, InvalidArgumentError
from rele.emulator.wire.classes import RawMessage
from rele.emulator.wire.classes import Snapshot as SnapshotConfig

_HOUR = 60 * 60 * 1_000_000
_LIFETIME = 7 * 24 * _HOUR
_SHORTEST_LIFETIME = _HOUR


class Snapshot:
    """A snapshot: its ``google.pubsub.v1.Snapshot``, and the messages that a seek to it redelivers.

    Args:
        config: its name, topic, labels and expire time.
        filter_text: the filter of the subscription that it was made from, if that has one.
        messages: in the order of publishing.
        ledger: where they are kept.
    """

    def __init__(
        self,
        config: RawMessage,
        filter_text: str,
        messages: Sequence[StoredMessage],
        ledger: Ledger = NO_LEDGER,
    ) -> None:
        self.config = config
        self.filter_text = filter_text
        self._matches = compile_filter(filter_text) if filter_text else None
        self._messages = list(messages)
        self._ledger = ledger

    @property
    def messages(self) -> Sequence[StoredMessage]:
        """What a seek to it makes unacknowledged, in the order of publishing."""
        return self._messages

    def publish(self, messages: Sequence[StoredMessage], originals: Sequence[RawMessage]) -> None:
        """Note what is published to the topic, of ``PubsubMessage``s."""
        matched = matching(self._matches, messages, originals)
        self._messages.extend(matched)
        self._ledger.published(matched)

    def has_expired(self, now: int) -> bool:
        return micros_of(self.config.expire_time) <= now


def expire_time(unacknowledged: Sequence[StoredMessage], now: int) -> int:
    """When a snapshot expires that is made ``now`` of these, in the order of publishing.

    Raises ``FailedPreconditionError`` if it would expire within an hour, because the oldest
    message is so old.
    """
    oldest = unacknowledged[0].publish_time if unacknowledged else now
    if oldest + _LIFETIME - now < _SHORTEST_LIFETIME:
        raise FailedPreconditionError(
            "The snapshot would expire in less than 1 hour: the oldest unacknowledged message "
            "of the subscription is too old."
        )
    return oldest + _LIFETIME


def updated_snapshot(current: RawMessage, request: RawMessage, now: int) -> RawMessage:
    """What an ``UpdateSnapshotRequest`` makes of ``current``. Raises ``InvalidArgumentError``."""
    paths = request.update_mask.paths
    if not paths:
        raise InvalidArgumentError("update_mask must have at least one path.")
    config = SnapshotConfig()
    config.CopyFrom(current)
    for path in paths:
        if path == "labels":
            limits.check_labels(request.snapshot.labels)
            config.ClearField("labels")
            config.labels.update(request.snapshot.labels)
        elif path == "expire_time":
            if not now < micros_of(request.snapshot.expire_time) <= now + _LIFETIME:
                raise InvalidArgumentError(
                    "snapshot.expire_time must be in the future, and at most 7 days."
                )
            config.expire_time.CopyFrom(request.snapshot.expire_time)
        elif path in current.DESCRIPTOR.fields_by_name:
            raise InvalidArgumentError(f"update_mask: {path} of a Snapshot cannot be changed.")
        else:
            raise InvalidArgumentError(f"update_mask: {path} is not a known Snapshot field.")
    return config


def matching(
    matches: Filter | None,
    messages: Sequence[StoredMessage],
    originals: Iterable[RawMessage],
) -> Sequence[StoredMessage]:
    """Those of ``messages`` that match a filter; ``originals`` has their ``PubsubMessage``s."""
    if matches is None:
        return messages
    return [
        message
        for message, original in zip(messages, originals, strict=True)
        if matches(original.attributes)
    ]


def micros_of(timestamp: RawMessage) -> int:
    """The microseconds since the epoch of a ``google.protobuf.Timestamp``, valid or not."""
    micros: int = timestamp.seconds * 1_000_000 + timestamp.nanos // 1000
    return micros
