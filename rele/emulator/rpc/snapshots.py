"""The RPCs of ``google.pubsub.v1`` that are about snapshots and seeking."""

from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry
from rele.emulator.rpc.paging import page_of
from rele.emulator.rpc.service import Service
from rele.emulator.rules import names
from rele.emulator.wire.classes import ListSnapshotsResponse, ListTopicSnapshotsResponse, RawMessage
from rele.emulator.wire.encoding import EMPTY


class SnapshotRpcs:
    """The RPCs on snapshots: most belong to the Subscriber, one to the Publisher."""

    def __init__(self, registry: Registry, snapshots: SnapshotRegistry) -> None:
        self._registry = registry
        self._snapshots = snapshots

    def add_to_publisher(self, service: Service) -> None:
        service.add_unary("ListTopicSnapshots", self.list_topic_snapshots)

    def add_to_subscriber(self, service: Service) -> None:
        service.add_unary("CreateSnapshot", self.create_snapshot)
        service.add_unary("GetSnapshot", self.get_snapshot)
        service.add_unary("UpdateSnapshot", self.update_snapshot)
        service.add_unary("ListSnapshots", self.list_snapshots)
        service.add_unary("DeleteSnapshot", self.delete_snapshot)
        service.add_unary("Seek", self.seek)

    def create_snapshot(self, request: RawMessage) -> RawMessage:
        names.check_subscription(request.subscription, "subscription")
        if not request.name:
            request.name = names.made_up_snapshot(request.subscription)
        names.check_snapshot(request.name, "name")
        return self._snapshots.create(request).config

    def get_snapshot(self, request: RawMessage) -> RawMessage:
        names.check_snapshot(request.snapshot, "snapshot")
        return self._snapshots.get(request.snapshot).config

    def update_snapshot(self, request: RawMessage) -> RawMessage:
        names.check_snapshot(request.snapshot.name, "snapshot.name")
        return self._snapshots.update(request).config

    def list_snapshots(self, request: RawMessage) -> RawMessage:
        names.check_project(request.project, "project")
        snapshots = self._snapshots.snapshots
        page, token = page_of(
            (name for name in snapshots if names.project_of(name) == request.project),
            request.page_size,
            request.page_token,
        )
        return ListSnapshotsResponse(
            snapshots=[snapshots[name].config for name in page], next_page_token=token
        )

    def list_topic_snapshots(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.topic, "topic")
        self._snapshots.sweep()
        topic = self._registry.topic(request.topic)
        page, token = page_of(topic.snapshots, request.page_size, request.page_token)
        return ListTopicSnapshotsResponse(snapshots=page, next_page_token=token)

    def delete_snapshot(self, request: RawMessage) -> RawMessage:
        names.check_snapshot(request.snapshot, "snapshot")
        self._snapshots.delete(request.snapshot)
        return EMPTY

    def seek(self, request: RawMessage) -> RawMessage:
        names.check_subscription(request.subscription, "subscription")
        self._snapshots.seek(request)
        return EMPTY
