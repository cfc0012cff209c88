"""What OpenTelemetry's conventions for messaging (version 1.44) call things.

They are written out because the package with the constants has no stable version.
"""

from __future__ import annotations

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

SYSTEM = "messaging.system"
PUBSUB = "gcp_pubsub"

OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
SUBSCRIPTION = "messaging.destination.subscription.name"
CLIENT_ID = "messaging.client.id"
BATCH_SIZE = "messaging.batch.message_count"
MESSAGE_ID = "messaging.message.id"
ACK_ID = "messaging.gcp_pubsub.message.ack_id"
ACK_DEADLINE = "messaging.gcp_pubsub.message.ack_deadline"
ATTEMPT = "messaging.gcp_pubsub.message.delivery_attempt"
ORDERING_KEY = "messaging.gcp_pubsub.message.ordering_key"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"

TYPE_OF = {
    "create": "create",
    "send": "send",
    "receive": "receive",
    "process": "process",
    "ack": "settle",
    "nack": "settle",
}
"""The type of each operation that has one: an extension of a lease settles nothing."""

OPERATION_DURATION = "messaging.client.operation.duration"
PROCESS_DURATION = "messaging.process.duration"
SENT_MESSAGES = "messaging.client.sent.messages"
CONSUMED_MESSAGES = "messaging.client.consumed.messages"

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The boundaries of both histograms, in seconds."""

DECISION = "rele.decision"
"""What a handler has decided by raising it: ``retry``, ``drop``, ``dead_letter`` or ``reject``."""
RETRY_DELAY = "rele.retry_delay"
"""For how many seconds at least a ``Retry`` delays the message."""
SKIPPED = "rele.skipped"
"""Why a message succeeds without its handler: ``filtered`` or ``duplicate``."""
