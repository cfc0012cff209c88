"""``google.pubsub.v1.Publisher``."""

from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry
from rele.emulator.rpc.paging import page_of
from rele.emulator.rpc.service import Service
from rele.emulator.rpc.snapshots import SnapshotRpcs
from rele.emulator.rules import limits, names
from rele.emulator.wire.classes import (
    ListTopicsResponse,
    ListTopicSubscriptionsResponse,
    PublishResponse,
    RawMessage,
)
from rele.emulator.wire.encoding import EMPTY


class PublisherService:
    """The RPCs on topics."""

    def __init__(self, registry: Registry, snapshots: SnapshotRegistry) -> None:
        self._registry = registry
        self._snapshots = snapshots

    def service(self) -> Service:
        """The RPCs, ready to be added to a server."""
        service = Service("google.pubsub.v1.Publisher", self._registry.journal)
        service.add_unary("CreateTopic", self.create_topic)
        service.add_unary("UpdateTopic", self.update_topic)
        service.add_unary("GetTopic", self.get_topic)
        service.add_unary("ListTopics", self.list_topics)
        service.add_unary("ListTopicSubscriptions", self.list_topic_subscriptions)
        service.add_unary("DeleteTopic", self.delete_topic)
        service.add_unary("DetachSubscription", self.detach_subscription)
        service.add_unary("Publish", self.publish)
        SnapshotRpcs(self._registry, self._snapshots).add_to_publisher(service)
        return service

    def create_topic(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.name, "name")
        return self._registry.create_topic(request).config

    def update_topic(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.topic.name, "topic.name")
        return self._registry.update_topic(request).config

    def get_topic(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.topic, "topic")
        return self._registry.topic(request.topic).config

    def list_topics(self, request: RawMessage) -> RawMessage:
        names.check_project(request.project, "project")
        topics = self._registry.topics
        page, token = page_of(
            (name for name in topics if names.project_of(name) == request.project),
            request.page_size,
            request.page_token,
        )
        return ListTopicsResponse(
            topics=[topics[name].config for name in page], next_page_token=token
        )

    def list_topic_subscriptions(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.topic, "topic")
        topic = self._registry.topic(request.topic)
        page, token = page_of(topic.subscriptions, request.page_size, request.page_token)
        return ListTopicSubscriptionsResponse(subscriptions=page, next_page_token=token)

    def delete_topic(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.topic, "topic")
        self._registry.delete_topic(request.topic)
        self._snapshots.topic_deleted(request.topic)
        return EMPTY

    def detach_subscription(self, request: RawMessage) -> RawMessage:
        names.check_subscription(request.subscription, "subscription")
        self._registry.detach_subscription(request.subscription)
        return EMPTY

    def publish(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.topic, "topic")
        topic = self._registry.topic(request.topic)
        limits.check_publish(request)
        stored = self._registry.publish(topic, request.messages)
        return PublishResponse(message_ids=[str(message.id) for message in stored])
