"""Topic and subscription configurations: their defaults, and how an update mask changes them.

A configuration is never changed in place. A change makes a new one, so that a response with
the old one is not changed.
"""

from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff
from rele.emulator.rules import limits
from rele.emulator.rules.filters import Filter, compile_filter
from rele.emulator.rules.refusals import InvalidArgumentError
from rele.emulator.wire.classes import STATE_ACTIVE, RawMessage

_DAY = 24 * 60 * 60
_MINIMUM_BACKOFF_SECONDS = 10

_TOPIC_MUTABLE = frozenset(
    {
        "labels",
        "message_storage_policy",
        "kms_key_name",
        "schema_settings",
        "message_retention_duration",
        "ingestion_data_source_settings",
        "message_transforms",
    }
)

_SUBSCRIPTION_MUTABLE = frozenset(
    {
        "push_config",
        "bigquery_config",
        "bigtable_config",
        "cloud_storage_config",
        "ack_deadline_seconds",
        "retain_acked_messages",
        "message_retention_duration",
        "labels",
        "expiration_policy",
        "dead_letter_policy",
        "retry_policy",
        "enable_exactly_once_delivery",
        "message_transforms",
    }
)


def new_topic(requested: RawMessage) -> RawMessage:
    """The configuration of a topic as it is created. Raises ``InvalidArgumentError``."""
    limits.check_topic(requested)
    config = _copy(requested)
    config.state = STATE_ACTIVE
    return config


def new_subscription(requested: RawMessage) -> RawMessage:
    """The configuration of a subscription as it is created. Raises ``InvalidArgumentError``."""
    config = _copy(requested)
    for output_only in ("detached", "topic_message_retention_duration"):
        config.ClearField(output_only)
    _fill_subscription(config)
    limits.check_subscription(config)
    return config


def updated_topic(current: RawMessage, request: RawMessage) -> RawMessage:
    """What an ``UpdateTopicRequest`` makes of ``current``. Raises ``InvalidArgumentError``."""
    config = _masked(current, request.topic, request.update_mask, _TOPIC_MUTABLE)
    limits.check_topic(config)
    return config


def updated_subscription(current: RawMessage, request: RawMessage) -> RawMessage:
    """What an ``UpdateSubscriptionRequest`` makes of ``current``.

    Raises ``InvalidArgumentError``.
    """
    config = _masked(current, request.subscription, request.update_mask, _SUBSCRIPTION_MUTABLE)
    _fill_subscription(config)
    limits.check_subscription(config)
    return config


def with_topic_retention(config: RawMessage, topic: RawMessage) -> RawMessage:
    """A subscription's configuration with the retention of its topic."""
    changed = _copy(config)
    changed.ClearField("topic_message_retention_duration")
    if topic.HasField("message_retention_duration"):
        changed.topic_message_retention_duration.CopyFrom(topic.message_retention_duration)
    return changed


def with_push_config(config: RawMessage, push_config: RawMessage) -> RawMessage:
    """A subscription's configuration with another ``PushConfig``.

    Raises ``UnimplementedError`` for one with an endpoint.
    """
    limits.check_push_config(push_config)
    changed = _copy(config)
    changed.push_config.CopyFrom(push_config)
    return changed


def detached(config: RawMessage) -> RawMessage:
    """The configuration of a subscription that is detached from its topic."""
    changed = _copy(config)
    changed.detached = True
    return changed


def with_topic(config: RawMessage, topic: str) -> RawMessage:
    """A subscription's or snapshot's configuration with the name of a deleted ``topic``."""
    changed = _copy(config)
    changed.topic = topic
    if "topic_message_retention_duration" in changed.DESCRIPTOR.fields_by_name:
        changed.ClearField("topic_message_retention_duration")
    return changed


def backoff_of(config: RawMessage) -> Backoff:
    """The delays that a subscription's retry policy asks for."""
    if not config.HasField("retry_policy"):
        return NO_BACKOFF
    policy = config.retry_policy
    return Backoff(
        limits.seconds_of(policy.minimum_backoff), limits.seconds_of(policy.maximum_backoff)
    )


def filter_of(config: RawMessage) -> Filter | None:
    """The filter of a subscription, if it has one."""
    return compile_filter(config.filter) if config.filter else None


def _fill_subscription(config: RawMessage) -> None:
    """Set what is unset to the service's defaults (Subscription in the API reference)."""
    config.state = STATE_ACTIVE
    # An empty one stands for pulling, and the service always answers with it.
    config.push_config.SetInParent()
    config.ack_deadline_seconds = config.ack_deadline_seconds or limits.MIN_ACK_DEADLINE_SECONDS
    if not config.HasField("message_retention_duration"):
        config.message_retention_duration.seconds = 7 * _DAY
    if not config.HasField("expiration_policy"):
        config.expiration_policy.ttl.seconds = 31 * _DAY
    if config.HasField("dead_letter_policy"):
        policy = config.dead_letter_policy
        policy.max_delivery_attempts = policy.max_delivery_attempts or 5
    if config.HasField("retry_policy"):
        policy = config.retry_policy
        if not policy.HasField("minimum_backoff"):
            policy.minimum_backoff.seconds = _MINIMUM_BACKOFF_SECONDS
        if not policy.HasField("maximum_backoff"):
            policy.maximum_backoff.seconds = limits.MAX_BACKOFF_SECONDS


def _masked(
    current: RawMessage, new: RawMessage, mask: RawMessage, mutable: frozenset[str]
) -> RawMessage:
    if not mask.paths:
        raise InvalidArgumentError("update_mask must have at least one path.")
    kind = current.DESCRIPTOR.name
    for path in mask.paths:
        root, _, rest = path.partition(".")
        if root not in current.DESCRIPTOR.fields_by_name or rest:
            raise InvalidArgumentError(f"update_mask: {path} is not a known {kind} field.")
        if root not in mutable:
            raise InvalidArgumentError(f"update_mask: {path} of a {kind} cannot be changed.")
    config = _copy(current)
    mask.MergeMessage(new, config, replace_message_field=True, replace_repeated_field=True)
    return config


def _copy(config: RawMessage) -> RawMessage:
    duplicate = type(config)()
    duplicate.CopyFrom(config)
    return duplicate
