"""The protobuf classes of ``google.pubsub.v1`` that the server makes messages of.

They are plain protobuf classes, not the wrappers of the client library, which cost several times
as much for each access.
"""

from typing import Any, TypeAlias

from rele.emulator.wire.descriptors import message_class

RawMessage: TypeAlias = Any
"""A protobuf message; its class is made at run time, so that its fields are unknown here."""

Topic = message_class("Topic")
Subscription = message_class("Subscription")
Snapshot = message_class("Snapshot")
PubsubMessage = message_class("PubsubMessage")
ListTopicsResponse = message_class("ListTopicsResponse")
ListTopicSubscriptionsResponse = message_class("ListTopicSubscriptionsResponse")
ListSubscriptionsResponse = message_class("ListSubscriptionsResponse")
ListTopicSnapshotsResponse = message_class("ListTopicSnapshotsResponse")
ListSnapshotsResponse = message_class("ListSnapshotsResponse")
PublishResponse = message_class("PublishResponse")
StreamingPullResponse = message_class("StreamingPullResponse")

STATE_ACTIVE = 1
"""``ACTIVE`` in both Topic.State and Subscription.State."""
