"""``google.pubsub.v1.Subscriber``."""

from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry
from rele.emulator.resources.subscription import Subscription
from rele.emulator.rpc import acknowledging
from rele.emulator.rpc.paging import page_of
from rele.emulator.rpc.pull import pull
from rele.emulator.rpc.service import Context, Service
from rele.emulator.rpc.snapshots import SnapshotRpcs
from rele.emulator.rpc.stream import streaming_pull
from rele.emulator.rules import limits, names
from rele.emulator.wire.classes import ListSubscriptionsResponse, RawMessage
from rele.emulator.wire.encoding import EMPTY


class SubscriberService:
    """The RPCs on subscriptions."""

    def __init__(self, registry: Registry, snapshots: SnapshotRegistry) -> None:
        self._registry = registry
        self._snapshots = snapshots

    def service(self) -> Service:
        """The RPCs, ready to be added to a server."""
        service = Service("google.pubsub.v1.Subscriber", self._registry.journal)
        service.add_unary("CreateSubscription", self.create_subscription)
        service.add_unary("GetSubscription", self.get_subscription)
        service.add_unary("UpdateSubscription", self.update_subscription)
        service.add_unary("ListSubscriptions", self.list_subscriptions)
        service.add_unary("DeleteSubscription", self.delete_subscription)
        service.add_unary("ModifyAckDeadline", self.modify_ack_deadline)
        service.add_unary("Acknowledge", self.acknowledge)
        service.add_unary("ModifyPushConfig", self.modify_push_config)
        SnapshotRpcs(self._registry, self._snapshots).add_to_subscriber(service)
        service.add_async_unary("Pull", self.pull)
        service.add_stream("StreamingPull", self.streaming_pull)
        return service

    def create_subscription(self, request: RawMessage) -> RawMessage:
        names.check_topic(request.topic, "topic")
        if not request.name:
            request.name = names.made_up_subscription(request.topic)
        names.check_subscription(request.name, "name")
        return self._registry.create_subscription(request).config

    def get_subscription(self, request: RawMessage) -> RawMessage:
        names.check_subscription(request.subscription, "subscription")
        return self._registry.subscription(request.subscription).config

    def update_subscription(self, request: RawMessage) -> RawMessage:
        names.check_subscription(request.subscription.name, "subscription.name")
        return self._registry.update_subscription(request).config

    def list_subscriptions(self, request: RawMessage) -> RawMessage:
        names.check_project(request.project, "project")
        subscriptions = self._registry.subscriptions
        page, token = page_of(
            (name for name in subscriptions if names.project_of(name) == request.project),
            request.page_size,
            request.page_token,
        )
        return ListSubscriptionsResponse(
            subscriptions=[subscriptions[name].config for name in page], next_page_token=token
        )

    def delete_subscription(self, request: RawMessage) -> RawMessage:
        names.check_subscription(request.subscription, "subscription")
        self._registry.delete_subscription(request.subscription)
        return EMPTY

    def modify_push_config(self, request: RawMessage) -> RawMessage:
        names.check_subscription(request.subscription, "subscription")
        self._registry.set_push_config(request.subscription, request.push_config)
        return EMPTY

    def modify_ack_deadline(self, request: RawMessage) -> RawMessage:
        subscription = self._attached(request.subscription)
        limits.check_ack_ids(request)
        outcome = acknowledging.modify_ack_deadlines(
            subscription.backlog,
            request.ack_ids,
            [request.ack_deadline_seconds] * len(request.ack_ids),
            "ack_deadline_seconds",
        )
        acknowledging.raise_for(outcome)
        return EMPTY

    def acknowledge(self, request: RawMessage) -> RawMessage:
        subscription = self._attached(request.subscription)
        limits.check_ack_ids(request)
        acknowledging.raise_for(acknowledging.acknowledge(subscription.backlog, request.ack_ids))
        return EMPTY

    async def pull(self, request: RawMessage, context: Context) -> RawMessage:
        return await pull(self._registry, request, context)

    async def streaming_pull(self, context: Context) -> None:
        await streaming_pull(self._registry, context)

    def _attached(self, name: str) -> Subscription:
        names.check_subscription(name, "subscription")
        return self._registry.attached_subscription(name)
