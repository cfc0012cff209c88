"""Checks of a request's fields against the limits that the service documents.

The sources are the API reference, and "Quotas and limits: resource limits" in the documentation.
Every check raises ``InvalidArgumentError`` with a text that names the field.
"""

from collections.abc import Mapping, Sequence

from rele.emulator.rules.filters import FilterSyntaxError, compile_filter
from rele.emulator.rules.refusals import InvalidArgumentError, UnimplementedError
from rele.emulator.wire.classes import RawMessage

MAX_MESSAGES_PER_PUBLISH = 1000
MAX_MESSAGE_BYTES = 10 * 1024 * 1024
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_KEY_BYTES = 256
MAX_ATTRIBUTE_VALUE_BYTES = 1024
MAX_ORDERING_KEY_BYTES = 1024
MAX_FILTER_BYTES = 256
MAX_LABELS = 64
MAX_LABEL_CHARACTERS = 63

MAX_ACK_IDS = 1000
MAX_ACK_BYTES = 512 * 1024
"""Of one Acknowledge or ModifyAckDeadline request."""

# One message of the largest size has to fit with its attributes and the request's own fields.
MAX_PUBLISH_BYTES = MAX_MESSAGE_BYTES + 256 * 1024

MIN_ACK_DEADLINE_SECONDS = 10
MAX_ACK_DEADLINE_SECONDS = 600

MAX_BACKOFF_SECONDS = 600
"""The largest value of RetryPolicy's fields (RetryPolicy in the API reference)."""

# Google's client libraries add attributes with this prefix, such as a trace context.
_CLIENT_ATTRIBUTE_PREFIX = "googclient_"

_MINUTE = 60
_DAY = 24 * 60 * _MINUTE


def check_publish(request: RawMessage) -> None:
    """A ``PublishRequest``: its number of messages, its size, each message, and their one key."""
    count = len(request.messages)
    if not 1 <= count <= MAX_MESSAGES_PER_PUBLISH:
        raise InvalidArgumentError(
            f"messages must have 1 to {MAX_MESSAGES_PER_PUBLISH} messages, got {count}."
        )
    for index, message in enumerate(request.messages):
        _check_message(message, index)
    size = request.ByteSize()
    if size > MAX_PUBLISH_BYTES:
        raise InvalidArgumentError(
            f"messages must be at most {MAX_PUBLISH_BYTES} bytes in one request, got {size}."
        )
    _check_one_ordering_key(request.messages)


def check_subscription(config: RawMessage) -> None:
    """A ``Subscription`` whose defaults are filled in.

    Raises ``UnimplementedError`` if it has a push endpoint.
    """
    check_ack_deadline(config.ack_deadline_seconds, "ack_deadline_seconds")
    _check_duration(config, "message_retention_duration", 10 * _MINUTE, 31 * _DAY)
    if config.HasField("expiration_policy") and config.expiration_policy.HasField("ttl"):
        _check_duration(config.expiration_policy, "ttl", _DAY, None, "expiration_policy.")
    if config.HasField("retry_policy"):
        _check_retry_policy(config.retry_policy)
    if config.HasField("dead_letter_policy"):
        _check_range(
            config.dead_letter_policy.max_delivery_attempts,
            "dead_letter_policy.max_delivery_attempts",
            5,
            100,
        )
    _check_filter(config.filter)
    check_labels(config.labels)
    check_push_config(config.push_config)


def check_topic(config: RawMessage) -> None:
    """A ``Topic``. Raises ``UnimplementedError`` if it has a schema."""
    if config.HasField("schema_settings"):
        # A server that ignored the schema would accept messages that the service refuses.
        raise UnimplementedError(
            "schema_settings: this server has no schemas, so it cannot check messages."
        )
    check_labels(config.labels)
    _check_duration(config, "message_retention_duration", 10 * _MINUTE, 31 * _DAY)


def check_labels(labels: Mapping[str, str]) -> None:
    """The labels of a resource: at most 64, of lower-case letters, digits, ``_`` and ``-``.

    Letters of any script count ("Labels" in the Pub/Sub documentation).
    """
    if len(labels) > MAX_LABELS:
        raise InvalidArgumentError(
            f"labels: there must be at most {MAX_LABELS}, got {len(labels)}."
        )
    for key, value in labels.items():
        if not key or not _is_letter(key[0]) or not _is_label(key):
            raise InvalidArgumentError(
                f"labels: a key must be 1 to {MAX_LABEL_CHARACTERS} lower-case letters, digits, "
                f"_ or -, starting with a letter, got {key!r}."
            )
        if not _is_label(value):
            raise InvalidArgumentError(
                f"labels: a value must be at most {MAX_LABEL_CHARACTERS} lower-case letters, "
                f"digits, _ or -, got {value!r}."
            )


def check_push_config(config: RawMessage) -> None:
    """A ``PushConfig``. Raises ``UnimplementedError`` if it has an endpoint."""
    if config.push_endpoint:
        raise UnimplementedError("push_config.push_endpoint: this server has no push delivery.")


def check_ack_deadline(seconds: int, field: str) -> None:
    """The ack deadline of a subscription or a stream: 10 to 600 s."""
    _check_range(seconds, field, MIN_ACK_DEADLINE_SECONDS, MAX_ACK_DEADLINE_SECONDS)


def check_extensions(seconds: Sequence[int], ack_ids: Sequence[str], field: str) -> None:
    """The new deadlines of leases: one for each ack id, 0 (a nack) to 600 s."""
    if len(seconds) != len(ack_ids):
        raise InvalidArgumentError(
            f"{field} must have as many values as there are ack ids to modify: "
            f"got {len(seconds)} for {len(ack_ids)}."
        )
    for value in set(seconds):
        _check_range(value, field, 0, MAX_ACK_DEADLINE_SECONDS)


def check_ack_ids(request: RawMessage) -> None:
    """An ``AcknowledgeRequest`` or a ``ModifyAckDeadlineRequest``: its ack ids, and its size."""
    count = len(request.ack_ids)
    if not count:
        raise InvalidArgumentError("ack_ids must have at least one ack id.")
    if count > MAX_ACK_IDS:
        raise InvalidArgumentError(
            f"ack_ids must have at most {MAX_ACK_IDS} ack ids in one request, got {count}."
        )
    if (size := request.ByteSize()) > MAX_ACK_BYTES:
        raise InvalidArgumentError(
            f"ack_ids: a request must be at most {MAX_ACK_BYTES} bytes, got {size}."
        )


def check_max_messages(value: int) -> None:
    """``PullRequest.max_messages``: positive."""
    if value <= 0:
        raise InvalidArgumentError(f"max_messages must be positive, got {value}.")


def _is_label(text: str) -> bool:
    return len(text) <= MAX_LABEL_CHARACTERS and all(
        character in "_-" or character.isdecimal() or _is_letter(character) for character in text
    )


def _is_letter(character: str) -> bool:
    return character.isalpha() and character == character.lower()


def _check_message(message: RawMessage, index: int) -> None:
    size = len(message.data)
    attributes = message.attributes
    if not size and not attributes:
        raise InvalidArgumentError(f"messages[{index}] must have data or at least one attribute.")
    if size > MAX_MESSAGE_BYTES:
        raise InvalidArgumentError(
            f"messages[{index}].data must be at most {MAX_MESSAGE_BYTES} bytes, got {size}."
        )
    if message.ordering_key:
        field = f"messages[{index}].ordering_key"
        _check_bytes(message.ordering_key, field, MAX_ORDERING_KEY_BYTES)
    if attributes:
        _check_attributes(attributes, f"messages[{index}].attributes")


def _check_one_ordering_key(messages: Sequence[RawMessage]) -> None:
    """All messages of a request have the same ordering key (PubsubMessage in the API reference)."""
    first = messages[0].ordering_key
    for index, message in enumerate(messages):
        if message.ordering_key != first:
            raise InvalidArgumentError(
                "messages must all have the same ordering_key in one request, got "
                f"{first!r} in messages[0] and {message.ordering_key!r} in messages[{index}]: "
                "publish them in one request for each ordering key."
            )


def _check_attributes(attributes: RawMessage, field: str) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidArgumentError(
            f"{field}: there must be at most {MAX_ATTRIBUTES}, got {len(attributes)}."
        )
    for key, value in attributes.items():
        if not key or (key.startswith("goog") and not key.startswith(_CLIENT_ATTRIBUTE_PREFIX)):
            raise InvalidArgumentError(
                f"{field} keys must not be empty or start with goog, got {key!r}."
            )
        _check_bytes(key, f"{field} key", MAX_ATTRIBUTE_KEY_BYTES)
        _check_bytes(value, f"{field} value", MAX_ATTRIBUTE_VALUE_BYTES)


def _check_filter(text: str) -> None:
    _check_bytes(text, "filter", MAX_FILTER_BYTES)
    try:
        if text:
            compile_filter(text)
    except FilterSyntaxError as error:
        raise InvalidArgumentError(f"filter is not valid: {error}.") from None


def _check_retry_policy(policy: RawMessage) -> None:
    for name in ("minimum_backoff", "maximum_backoff"):
        _check_duration(policy, name, 0, MAX_BACKOFF_SECONDS, "retry_policy.")
    if seconds_of(policy.minimum_backoff) > seconds_of(policy.maximum_backoff):
        raise InvalidArgumentError(
            "retry_policy.minimum_backoff must not be longer than retry_policy.maximum_backoff."
        )


def _check_duration(
    owner: RawMessage, name: str, low: float, high: float | None, prefix: str = ""
) -> None:
    if not owner.HasField(name):
        return
    seconds = seconds_of(getattr(owner, name))
    if seconds < low or (high is not None and seconds > high):
        allowed = f"at least {low} s" if high is None else f"from {low} to {high:g} s"
        raise InvalidArgumentError(f"{prefix}{name} must be {allowed}, got {seconds:g} s.")


def _check_range(value: int, field: str, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidArgumentError(f"{field} must be from {low} to {high}, got {value}.")


def _check_bytes(text: str, field: str, limit: int) -> None:
    # A character has one to four bytes: most texts are checked without being encoded.
    if len(text) * 4 > limit and len(text.encode()) > limit:
        raise InvalidArgumentError(
            f"{field} must be at most {limit} bytes, got {len(text.encode())}."
        )


def seconds_of(duration: RawMessage) -> float:
    """The seconds of a ``google.protobuf.Duration``."""
    seconds: float = duration.seconds + duration.nanos / 1e9
    return seconds
