"""What goes over the wire is what the protobuf classes make of it."""

from __future__ import annotations

import pytest

from rele.emulator.rules.refusals import InvalidArgumentError
from rele.emulator.wire import protocol
from rele.emulator.wire.descriptors import message_class

PubsubMessage = message_class("PubsubMessage")


def test_a_stored_message_has_its_id_and_publish_time() -> None:
    message = PubsubMessage(data=b"hello", attributes={"k": "v"}, message_id="theirs")
    message.publish_time.nanos = 5
    stored = protocol.store(message, 17, 1_700_000_000_123_456)

    decoded = PubsubMessage.FromString(stored.encoded)
    assert decoded.message_id == "17"
    assert decoded.publish_time.ToMilliseconds() == 1_700_000_000_123
    assert (decoded.data, dict(decoded.attributes)) == (b"hello", {"k": "v"})
    assert (stored.id, stored.publish_time) == (17, 1_700_000_000_123_456)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
@pytest.mark.parametrize("attempt", [0, 1, 300])
def test_messages_of_any_size_are_encoded_as_protobuf_does(size: int, attempt: int) -> None:
    message = PubsubMessage(data=b"x" * size)
    received = message_class("ReceivedMessage")(
        ack_id="ack", message=message, delivery_attempt=attempt
    )
    expected = message_class("PullResponse")(received_messages=[received, received])

    encoded = protocol.encode_received_message("ack", message.SerializeToString(), attempt)

    assert encoded == received.SerializeToString()
    assert protocol.encode_pull_response([encoded, encoded]) == expected.SerializeToString()


@pytest.mark.parametrize("exactly_once", [True, False])
@pytest.mark.parametrize("ordering", [True, False])
def test_properties_can_be_appended_to_messages(exactly_once: bool, ordering: bool) -> None:
    messages = protocol.encode_pull_response([protocol.encode_received_message("ack", b"")])
    properties = protocol.encode_streaming_properties(exactly_once=exactly_once, ordering=ordering)

    response = message_class("StreamingPullResponse").FromString(messages + properties)
    assert response.received_messages[0].ack_id == "ack"
    assert response.HasField("subscription_properties")
    assert response.subscription_properties.exactly_once_delivery_enabled is exactly_once
    assert response.subscription_properties.message_ordering_enabled is ordering


def test_bytes_that_are_no_request_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"not a valid google\.pubsub\.v1\.PullRequest"):
        protocol.parse_request("Pull", b"\xff\xff")
