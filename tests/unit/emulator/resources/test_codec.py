"""The form in which messages are stored."""

from __future__ import annotations

from rele.emulator.resources import codec
from rele.emulator.wire.descriptors import message_class

PubsubMessage = message_class("PubsubMessage")


def test_a_stored_message_has_its_id_and_publish_time() -> None:
    message = PubsubMessage(data=b"hello", attributes={"k": "v"}, message_id="theirs")
    message.publish_time.nanos = 5
    stored = codec.stored(message, 17, 1_700_000_000_123_456)

    decoded = PubsubMessage.FromString(stored.encoded)
    assert decoded.message_id == "17"
    assert decoded.publish_time.ToMilliseconds() == 1_700_000_000_123
    assert (decoded.data, dict(decoded.attributes)) == (b"hello", {"k": "v"})
    assert (stored.id, stored.publish_time) == (17, 1_700_000_000_123_456)
