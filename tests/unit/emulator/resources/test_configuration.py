"""The configurations of topics and subscriptions."""

from __future__ import annotations

from typing import Any

import pytest

from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff
from rele.emulator.resources import configuration
from rele.emulator.rules.refusals import InvalidArgumentError
from rele.emulator.wire.descriptors import message_class

DAY = 24 * 60 * 60

Subscription = message_class("Subscription")
Topic = message_class("Topic")


def subscription(**fields: Any) -> Any:
    return configuration.new_subscription(
        Subscription(name="projects/p/subscriptions/abc", topic="projects/p/topics/abc", **fields)
    )


def update(current: Any, paths: list[str], **fields: Any) -> Any:
    request = message_class("UpdateSubscriptionRequest")(
        subscription=Subscription(name=current.name, **fields)
    )
    request.update_mask.paths.extend(paths)
    return configuration.updated_subscription(current, request)


class TestNewSubscription:
    def test_defaults_are_filled_in(self) -> None:
        config = subscription(retry_policy={}, dead_letter_policy={"dead_letter_topic": "t"})

        assert config.ack_deadline_seconds == 10
        assert config.message_retention_duration.seconds == 7 * DAY
        assert config.expiration_policy.ttl.seconds == 31 * DAY
        assert config.retry_policy.minimum_backoff.seconds == 10
        assert config.retry_policy.maximum_backoff.seconds == 600
        assert config.dead_letter_policy.max_delivery_attempts == 5
        assert config.state == Subscription.State.ACTIVE

    def test_an_empty_expiration_policy_means_never(self) -> None:
        assert not subscription(expiration_policy={}).expiration_policy.HasField("ttl")

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"ack_deadline_seconds": 9}, "ack_deadline_seconds must be from 10 to 600, got 9"),
            ({"ack_deadline_seconds": 601}, "ack_deadline_seconds must be from 10 to 600"),
            (
                {"message_retention_duration": {"seconds": 599}},
                "message_retention_duration must be from 600 to 2.6784e.06 s, got 599 s",
            ),
            (
                {"expiration_policy": {"ttl": {"seconds": 3600}}},
                "expiration_policy.ttl must be at least 86400 s, got 3600 s",
            ),
            (
                {"retry_policy": {"maximum_backoff": {"seconds": 601}}},
                "retry_policy.maximum_backoff must be from 0 to 600 s, got 601 s",
            ),
            (
                {"retry_policy": {"minimum_backoff": {"seconds": -1}}},
                "retry_policy.minimum_backoff must be from 0 to 600 s, got -1 s",
            ),
            (
                {"retry_policy": {"maximum_backoff": {"seconds": 5}}},
                "minimum_backoff must not be longer than retry_policy.maximum_backoff",
            ),
            (
                {"dead_letter_policy": {"max_delivery_attempts": 4}},
                "dead_letter_policy.max_delivery_attempts must be from 5 to 100, got 4",
            ),
            ({"filter": "x" * 257}, "filter must be at most 256 bytes, got 257"),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, fields: dict[str, Any], text: str) -> None:
        with pytest.raises(InvalidArgumentError, match=text):
            subscription(**fields)


class TestBackoff:
    def test_without_a_policy_there_is_none(self) -> None:
        assert configuration.backoff_of(subscription()) == NO_BACKOFF

    def test_it_is_the_policy_in_seconds(self) -> None:
        config = subscription(
            retry_policy={
                "minimum_backoff": {"seconds": 1, "nanos": 500_000_000},
                "maximum_backoff": {"seconds": 60},
            }
        )

        assert configuration.backoff_of(config) == Backoff(1.5, 60.0)


class TestUpdatedSubscription:
    def test_only_the_fields_of_the_mask_change(self) -> None:
        current = subscription(labels={"a": "1", "b": "2"}, retain_acked_messages=True)
        changed = update(
            current, ["labels", "ack_deadline_seconds"], labels={"c": "3"}, ack_deadline_seconds=20
        )

        assert dict(changed.labels) == {"c": "3"}
        assert changed.ack_deadline_seconds == 20
        assert changed.retain_acked_messages
        assert dict(current.labels) == {"a": "1", "b": "2"}

    def test_a_field_that_is_not_set_is_cleared(self) -> None:
        current = subscription(retry_policy={}, ack_deadline_seconds=60)
        changed = update(current, ["retry_policy", "ack_deadline_seconds"])

        assert not changed.HasField("retry_policy")
        assert changed.ack_deadline_seconds == 10

    @pytest.mark.parametrize(
        ("paths", "text"),
        [
            ([], "update_mask must have at least one path"),
            (["nope"], "update_mask: nope is not a known Subscription field"),
            (["ackDeadlineSeconds"], "ackDeadlineSeconds is not a known Subscription field"),
            (["push_config.push_endpoint"], "push_endpoint is not a known Subscription field"),
            (["name"], "update_mask: name of a Subscription cannot be changed"),
            (["topic"], "update_mask: topic of a Subscription cannot be changed"),
            (["filter"], "update_mask: filter of a Subscription cannot be changed"),
            (["enable_message_ordering"], "enable_message_ordering of a Subscription cannot be"),
            (["ack_deadline_seconds"], "ack_deadline_seconds must be from 10 to 600, got 5"),
        ],
    )
    def test_what_cannot_be_changed_is_refused(self, paths: list[str], text: str) -> None:
        with pytest.raises(InvalidArgumentError, match=text):
            update(subscription(), paths, ack_deadline_seconds=5)


class TestTopic:
    def test_a_new_topic_is_active(self) -> None:
        config = configuration.new_topic(Topic(name="projects/p/topics/abc", labels={"a": "1"}))

        assert config.state == Topic.State.ACTIVE
        assert dict(config.labels) == {"a": "1"}

    def test_its_retention_has_a_range(self) -> None:
        with pytest.raises(InvalidArgumentError, match="message_retention_duration must be"):
            configuration.new_topic(Topic(message_retention_duration={"seconds": 599}))

    def test_an_update_changes_the_fields_of_the_mask(self) -> None:
        current = configuration.new_topic(Topic(name="projects/p/topics/abc", kms_key_name="k"))
        request = message_class("UpdateTopicRequest")(
            topic=Topic(name=current.name, labels={"a": "1"}), update_mask={"paths": ["labels"]}
        )
        changed = configuration.updated_topic(current, request)

        assert (dict(changed.labels), changed.kms_key_name) == ({"a": "1"}, "k")
