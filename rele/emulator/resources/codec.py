"""A ``PubsubMessage`` and the form in which the server stores it."""

from rele.emulator.delivery.message import StoredMessage
from rele.emulator.wire.classes import PubsubMessage, RawMessage


def stored(message: RawMessage, message_id: int, publish_time: int) -> StoredMessage:
    """Give a ``PubsubMessage`` its id and publish time (microseconds since the epoch).

    Clients see the time in milliseconds, as from the service.
    """
    message.message_id = str(message_id)
    timestamp = message.publish_time
    timestamp.seconds, milliseconds = divmod(publish_time // 1000, 1000)
    timestamp.nanos = milliseconds * 1_000_000
    encoded = message.SerializeToString()
    return StoredMessage(message_id, publish_time, encoded, message.ordering_key)


def original(encoded: bytes) -> RawMessage:
    """The ``PubsubMessage`` with these bytes."""
    return PubsubMessage.FromString(encoded)
