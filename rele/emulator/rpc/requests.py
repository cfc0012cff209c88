"""The request of each RPC that is served."""

from typing import Any

from google.protobuf.message import DecodeError

from rele.emulator.rules.refusals import InvalidArgumentError
from rele.emulator.wire.classes import RawMessage, Subscription, Topic
from rele.emulator.wire.descriptors import message_class

_REQUEST_TYPES: dict[str, Any] = {
    "CreateTopic": Topic,
    "UpdateTopic": message_class("UpdateTopicRequest"),
    "Publish": message_class("PublishRequest"),
    "GetTopic": message_class("GetTopicRequest"),
    "ListTopics": message_class("ListTopicsRequest"),
    "ListTopicSubscriptions": message_class("ListTopicSubscriptionsRequest"),
    "DeleteTopic": message_class("DeleteTopicRequest"),
    "CreateSubscription": Subscription,
    "GetSubscription": message_class("GetSubscriptionRequest"),
    "UpdateSubscription": message_class("UpdateSubscriptionRequest"),
    "ListSubscriptions": message_class("ListSubscriptionsRequest"),
    "DeleteSubscription": message_class("DeleteSubscriptionRequest"),
    "ModifyAckDeadline": message_class("ModifyAckDeadlineRequest"),
    "Acknowledge": message_class("AcknowledgeRequest"),
    "Pull": message_class("PullRequest"),
    "ModifyPushConfig": message_class("ModifyPushConfigRequest"),
    "DetachSubscription": message_class("DetachSubscriptionRequest"),
    "Seek": message_class("SeekRequest"),
    "CreateSnapshot": message_class("CreateSnapshotRequest"),
    "GetSnapshot": message_class("GetSnapshotRequest"),
    "UpdateSnapshot": message_class("UpdateSnapshotRequest"),
    "ListSnapshots": message_class("ListSnapshotsRequest"),
    "ListTopicSnapshots": message_class("ListTopicSnapshotsRequest"),
    "DeleteSnapshot": message_class("DeleteSnapshotRequest"),
    "StreamingPull": message_class("StreamingPullRequest"),
    "ListSchemas": message_class("ListSchemasRequest"),
}
"""The request class of each RPC that is served, by its name."""


def parse_request(method: str, payload: bytes) -> RawMessage:
    """The request of the RPC ``method``.

    Raises ``InvalidArgumentError`` if ``payload`` is not the encoding of such a request.
    """
    kind = _REQUEST_TYPES[method]
    try:
        return kind.FromString(payload)
    except DecodeError:
        raise InvalidArgumentError(
            f"The request is not a valid {kind.DESCRIPTOR.full_name}."
        ) from None
