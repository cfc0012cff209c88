"""The snapshots that exist."""

from rele.emulator.resources import configuration
from rele.emulator.resources.journal import Kind
from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshot import Snapshot, expire_time, micros_of, updated_snapshot
from rele.emulator.rules import limits, names
from rele.emulator.rules.refusals import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from rele.emulator.wire.classes import RawMessage
from rele.emulator.wire.classes import Snapshot as SnapshotConfig


class SnapshotRegistry:
    """Every snapshot of the server by name, and what seeks to them.

    Looking one up raises ``NotFoundError``; one that has expired is as good as deleted.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._journal = registry.journal
        self._snapshots: dict[str, Snapshot] = {}

    @property
    def snapshots(self) -> dict[str, Snapshot]:
        """The snapshots by name; for reading only."""
        self.sweep()
        return self._snapshots

    def get(self, name: str) -> Snapshot:
        try:
            return self.snapshots[name]
        except KeyError:
            raise NotFoundError(name) from None

    def create(self, request: RawMessage) -> Snapshot:
        """Do what a ``CreateSnapshotRequest`` asks for."""
        if request.name in self.snapshots:
            raise AlreadyExistsError(request.name)
        limits.check_labels(request.labels)
        subscription = self._registry.attached_subscription(request.subscription)
        topic = self._registry.topics.get(subscription.config.topic)
        if topic is None:
            raise FailedPreconditionError("The topic of the subscription was deleted.")
        messages = subscription.backlog.unacknowledged()
        config = SnapshotConfig(name=request.name, topic=topic.config.name, labels=request.labels)
        config.expire_time.FromMicroseconds(expire_time(messages, self._registry.now()))
        filter_text = subscription.config.filter
        self._journal.put(Kind.SNAPSHOT, request.name, config, filter_text)
        ledger = self._journal.ledger(Kind.SNAPSHOT, request.name)
        ledger.replaced([message.id for message in messages])
        snapshot = Snapshot(config, filter_text, messages, ledger)
        self._snapshots[request.name] = snapshot
        topic.snapshots[request.name] = snapshot
        return snapshot

    def update(self, request: RawMessage) -> Snapshot:
        """Do what an ``UpdateSnapshotRequest`` asks for."""
        snapshot = self.get(request.snapshot.name)
        self._configure(snapshot, updated_snapshot(snapshot.config, request, self._registry.now()))
        return snapshot

    def restore(self, snapshot: Snapshot) -> None:
        """Add a snapshot of an earlier server."""
        name = snapshot.config.name
        self._snapshots[name] = snapshot
        topic = self._registry.topics.get(snapshot.config.topic)
        if topic is not None:
            topic.snapshots[name] = snapshot

    def delete(self, name: str) -> None:
        snapshot = self.get(name)
        self._forget(name, snapshot)

    def seek(self, request: RawMessage) -> None:
        """Do what a ``SeekRequest`` asks for."""
        subscription = self._registry.attached_subscription(request.subscription)
        target = request.WhichOneof("target")
        if target == "snapshot":
            names.check_snapshot(request.snapshot, "snapshot")
            snapshot = self.get(request.snapshot)
            if snapshot.config.topic != subscription.config.topic:
                raise InvalidArgumentError(
                    "snapshot must be of the subscription's topic, "
                    f"{subscription.config.topic}, not of {snapshot.config.topic}."
                )
            subscription.seek_to_snapshot(snapshot)
        elif target == "time":
            topic = self._registry.topics.get(subscription.config.topic)
            subscription.seek_to_time(micros_of(request.time), topic.log if topic else None)
        else:
            raise InvalidArgumentError("time or snapshot must be set.")

    def topic_deleted(self, name: str) -> None:
        """Note that a topic was deleted; its snapshots stay, and get no new messages."""
        for snapshot in self._snapshots.values():
            if snapshot.config.topic == name:
                self._configure(
                    snapshot, configuration.with_topic(snapshot.config, names.DELETED_TOPIC)
                )

    def sweep(self) -> None:
        """Forget the snapshots that have expired."""
        now = self._registry.now()
        for name, snapshot in tuple(self._snapshots.items()):
            if snapshot.has_expired(now):
                self._forget(name, snapshot)

    def _configure(self, snapshot: Snapshot, config: RawMessage) -> None:
        snapshot.config = config
        self._journal.put(Kind.SNAPSHOT, config.name, config, snapshot.filter_text)

    def _forget(self, name: str, snapshot: Snapshot) -> None:
        del self._snapshots[name]
        self._journal.delete(Kind.SNAPSHOT, name)
        topic = self._registry.topics.get(snapshot.config.topic)
        if topic is not None:
            topic.snapshots.pop(name, None)
