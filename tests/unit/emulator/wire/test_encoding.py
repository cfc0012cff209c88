"""What goes over the wire is what the protobuf classes make of it."""

from __future__ import annotations

import pytest

from rele.emulator.wire import encoding
from rele.emulator.wire.descriptors import message_class

PubsubMessage = message_class("PubsubMessage")


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
@pytest.mark.parametrize("attempt", [0, 1, 300])
def test_messages_of_any_size_are_encoded_as_protobuf_does(size: int, attempt: int) -> None:
    message = PubsubMessage(data=b"x" * size)
    received = message_class("ReceivedMessage")(
        ack_id="ack", message=message, delivery_attempt=attempt
    )
    expected = message_class("PullResponse")(received_messages=[received, received])

    encoded = encoding.encode_received_message("ack", message.SerializeToString(), attempt)

    assert encoded == received.SerializeToString()
    assert encoding.encode_pull_response([encoded, encoded]) == expected.SerializeToString()


@pytest.mark.parametrize("exactly_once", [True, False])
@pytest.mark.parametrize("ordering", [True, False])
def test_properties_can_be_appended_to_messages(exactly_once: bool, ordering: bool) -> None:
    messages = encoding.encode_pull_response([encoding.encode_received_message("ack", b"")])
    properties = encoding.encode_streaming_properties(exactly_once=exactly_once, ordering=ordering)

    response = message_class("StreamingPullResponse").FromString(messages + properties)
    assert response.received_messages[0].ack_id == "ack"
    assert response.HasField("subscription_properties")
    assert response.subscription_properties.exactly_once_delivery_enabled is exactly_once
    assert response.subscription_properties.message_ordering_enabled is ordering
