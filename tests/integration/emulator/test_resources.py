"""Topics and subscriptions: create, read, list, change, delete."""

from __future__ import annotations

import logging
from collections.abc import Callable

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1 import types

from rele.emulator import EmbeddedServer

from .conftest import SOON, BareStream

Publisher = pubsub_v1.PublisherClient
Subscriber = pubsub_v1.SubscriberClient
Publish = Callable[..., list[str]]


class TestTopics:
    def test_create_get_and_delete(self, publisher: Publisher, project: str) -> None:
        name = f"projects/{project}/topics/orders"
        created = publisher.create_topic(request={"name": name, "labels": {"team": "shop"}})
        assert (created.name, created.labels) == (name, {"team": "shop"})
        assert publisher.get_topic(topic=name) == created

        publisher.delete_topic(topic=name)

        with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=orders\)\."):
            publisher.get_topic(topic=name)

    def test_a_name_that_is_taken(self, publisher: Publisher, topic: str) -> None:
        text = r"Resource already exists in the project \(resource=orders\)\."
        with pytest.raises(exceptions.AlreadyExists, match=text):
            publisher.create_topic(name=topic)

    def test_a_name_that_is_none(self, publisher: Publisher, project: str) -> None:
        with pytest.raises(exceptions.InvalidArgument, match="Invalid resource name given"):
            publisher.create_topic(name=f"projects/{project}/topics/1")

    def test_lists_are_of_one_project_in_pages(self, publisher: Publisher, project: str) -> None:
        names = [f"projects/{project}/topics/topic-{number:02}" for number in range(25)]
        for name in reversed(names):
            publisher.create_topic(name=name)
        publisher.create_topic(name=f"projects/{project}-other/topics/orders")

        pager = publisher.list_topics(request={"project": f"projects/{project}", "page_size": 10})

        pages = [[topic.name for topic in page.topics] for page in pager.pages]
        assert pages == [names[:10], names[10:20], names[20:]]

    def test_its_subscriptions_are_listed(
        self, publisher: Publisher, subscriber: Subscriber, topic: str, subscription: str
    ) -> None:
        other = f"{subscription}-2"
        subscriber.create_subscription(name=other, topic=topic)

        listed = publisher.list_topic_subscriptions(request={"topic": topic, "page_size": 1})

        assert list(listed) == [subscription, other]

    def test_lists_of_what_is_missing_or_malformed(
        self, publisher: Publisher, project: str
    ) -> None:
        assert list(publisher.list_topics(project=f"projects/{project}")) == []
        with pytest.raises(exceptions.InvalidArgument, match="project must be projects/PROJECT"):
            publisher.list_topics(project="x")
        with pytest.raises(exceptions.NotFound):
            publisher.list_topic_subscriptions(topic=f"projects/{project}/topics/missing")
        with pytest.raises(exceptions.InvalidArgument, match="page_token"):
            publisher.list_topics(
                request={"project": f"projects/{project}", "page_token": "nonsense"}
            )

    def test_update_changes_what_the_mask_names(self, publisher: Publisher, topic: str) -> None:
        updated = publisher.update_topic(
            request={
                "topic": {"name": topic, "labels": {"a": "1"}, "kms_key_name": "ignored"},
                "update_mask": {"paths": ["labels"]},
            }
        )

        assert (updated.labels, updated.kms_key_name) == ({"a": "1"}, "")
        assert publisher.get_topic(topic=topic) == updated

    def test_publishing_to_a_missing_topic(self, publisher: Publisher, project: str) -> None:
        future = publisher.publish(f"projects/{project}/topics/missing", b"x")

        with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=missing\)"):
            future.result()


class TestSubscriptions:
    def test_create_get_and_delete(self, subscriber: Subscriber, project: str, topic: str) -> None:
        name = f"projects/{project}/subscriptions/orders"
        created = subscriber.create_subscription(
            request={
                "name": name,
                "topic": topic,
                "filter": 'attributes.kind = "order"',
                "enable_message_ordering": True,
                "enable_exactly_once_delivery": True,
                "labels": {"team": "shop"},
            }
        )
        assert (created.name, created.topic) == (name, topic)
        assert created.ack_deadline_seconds == 10
        assert created.filter == 'attributes.kind = "order"'
        assert created.enable_message_ordering
        assert created.enable_exactly_once_delivery
        assert created.state == types.Subscription.State.ACTIVE
        assert subscriber.get_subscription(subscription=name) == created

        subscriber.delete_subscription(subscription=name)

        with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=orders\)\."):
            subscriber.get_subscription(subscription=name)

    def test_a_name_that_is_taken(
        self, subscriber: Subscriber, topic: str, subscription: str
    ) -> None:
        text = r"Resource already exists in the project \(resource=orders\)\."
        with pytest.raises(exceptions.AlreadyExists, match=text):
            subscriber.create_subscription(name=subscription, topic=topic)

    def test_without_a_name_the_server_makes_one_up(
        self, subscriber: Subscriber, project: str, topic: str
    ) -> None:
        created = subscriber.create_subscription(request={"topic": topic})

        assert created.name.startswith(f"projects/{project}/subscriptions/")

    def test_a_missing_topic(self, subscriber: Subscriber, project: str) -> None:
        with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=missing\)"):
            subscriber.create_subscription(
                name=f"projects/{project}/subscriptions/orders",
                topic=f"projects/{project}/topics/missing",
            )

    def test_a_value_out_of_range(self, subscriber: Subscriber, project: str, topic: str) -> None:
        with pytest.raises(exceptions.InvalidArgument, match="ack_deadline_seconds must be from"):
            subscriber.create_subscription(
                name=f"projects/{project}/subscriptions/orders",
                topic=topic,
                ack_deadline_seconds=601,
            )

    def test_list(self, subscriber: Subscriber, project: str, topic: str) -> None:
        names = [f"projects/{project}/subscriptions/sub-{number}" for number in range(3)]
        for name in names:
            subscriber.create_subscription(name=name, topic=topic)

        listed = subscriber.list_subscriptions(
            request={"project": f"projects/{project}", "page_size": 2}
        )

        assert [each.name for each in listed] == names

    def test_update_changes_what_the_mask_names(
        self, subscriber: Subscriber, subscription: str
    ) -> None:
        updated = subscriber.update_subscription(
            request={
                "subscription": {
                    "name": subscription,
                    "ack_deadline_seconds": 60,
                    "retry_policy": {"minimum_backoff": {"seconds": 5}},
                    "labels": {"ignored": "1"},
                },
                "update_mask": {"paths": ["ack_deadline_seconds", "retry_policy"]},
            }
        )

        assert updated.ack_deadline_seconds == 60
        assert updated.retry_policy.minimum_backoff.total_seconds() == 5
        assert updated.retry_policy.maximum_backoff.total_seconds() == 600
        assert updated.labels == {}
        assert subscriber.get_subscription(subscription=subscription) == updated

    @pytest.mark.parametrize("path", ["topic", "nope"])
    def test_update_refuses_other_fields(
        self, subscriber: Subscriber, subscription: str, path: str
    ) -> None:
        with pytest.raises(exceptions.InvalidArgument, match=f"update_mask: {path}"):
            subscriber.update_subscription(
                request={
                    "subscription": {"name": subscription},
                    "update_mask": {"paths": [path]},
                }
            )

    def test_a_removed_retry_policy_counts_at_once(
        self,
        subscriber: Subscriber,
        subscription: str,
        publish: Publish,
        stream: Callable[..., BareStream],
    ) -> None:
        request = {
            "subscription": {"name": subscription, "retry_policy": {}},
            "update_mask": {"paths": ["retry_policy"]},
        }
        subscriber.update_subscription(request=request)
        request["subscription"] = {"name": subscription}
        subscriber.update_subscription(request=request)
        publish(b"x")
        reader = stream()
        reader.send(modify_deadline_ack_ids=[reader.next().ack_id], modify_deadline_seconds=[0])

        assert reader.next().message.data == b"x"


class TestDeletedTopic:
    def test_its_subscriptions_keep_what_they_have_and_get_no_more(
        self,
        publisher: Publisher,
        subscriber: Subscriber,
        topic: str,
        subscription: str,
        publish: Publish,
    ) -> None:
        publish(b"before")
        publisher.delete_topic(topic=topic)
        assert subscriber.get_subscription(subscription=subscription).topic == "_deleted-topic_"

        publisher.create_topic(name=topic)
        publish(b"after")

        response = subscriber.pull(subscription=subscription, max_messages=10)
        assert [each.message.data for each in response.received_messages] == [b"before"]
        assert list(publisher.list_topic_subscriptions(topic=topic)) == []

    def test_such_a_subscription_can_be_deleted(
        self, publisher: Publisher, subscriber: Subscriber, topic: str, subscription: str
    ) -> None:
        publisher.delete_topic(topic=topic)
        subscriber.delete_subscription(subscription=subscription)

        with pytest.raises(exceptions.NotFound):
            subscriber.get_subscription(subscription=subscription)


def test_a_new_subscription_starts_empty(
    subscriber: Subscriber, project: str, topic: str, publish: Publish
) -> None:
    publish(b"early")
    name = f"projects/{project}/subscriptions/late"
    subscriber.create_subscription(name=name, topic=topic)
    publish(b"late")

    response = subscriber.pull(subscription=name, max_messages=10)

    assert [each.message.data for each in response.received_messages] == [b"late"]


def test_message_ids_count_up(publish: Publish) -> None:
    ids = [int(message_id) for message_id in publish(*[b"x"] * 100)]

    assert ids == sorted(set(ids))


def test_what_is_not_served_says_so(
    subscriber: Subscriber,
    project: str,
    topic: str,
    subscription: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    push_config = {"push_endpoint": "https://example.com/push"}
    with pytest.raises(exceptions.MethodNotImplemented, match="push_endpoint"):
        subscriber.create_subscription(
            name=f"projects/{project}/subscriptions/push", topic=topic, push_config=push_config
        )
    with pytest.raises(exceptions.MethodNotImplemented, match="push_endpoint"):
        subscriber.modify_push_config(subscription=subscription, push_config=push_config)
    assert len(warnings_of(caplog)) == 2


def test_a_topic_with_a_schema_is_refused(publisher: Publisher, project: str, topic: str) -> None:
    settings = {"schema": f"projects/{project}/schemas/order", "encoding": "JSON"}
    with pytest.raises(exceptions.MethodNotImplemented, match="schema_settings: this server has"):
        publisher.create_topic(
            request={"name": f"projects/{project}/topics/typed", "schema_settings": settings}
        )
    with pytest.raises(exceptions.MethodNotImplemented, match="schema_settings"):
        publisher.update_topic(
            request={
                "topic": {"name": topic, "schema_settings": settings},
                "update_mask": {"paths": ["schema_settings"]},
            }
        )
    assert [each.name for each in publisher.list_topics(project=f"projects/{project}")] == [topic]


def test_settings_without_effect_are_in_the_log(
    subscriber: Subscriber, project: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"projects/{project}/subscriptions/export"
    subscriber.create_subscription(
        request={"name": name, "topic": topic, "bigquery_config": {"table": "a.b.c"}}
    )

    text = f"{name}: bigquery_config is stored and returned, but has no effect on this server."
    assert [record.getMessage() for record in warnings_of(caplog)] == [text]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("google.pubsub.v1.SchemaService/CreateSchema", "this server has no schemas"),
        ("google.iam.v1.IAMPolicy/GetIamPolicy", "this server has no access control"),
        ("google.pubsub.v1.Publisher/Nope", "this server does not know it"),
    ],
)
def test_a_method_that_is_not_served_says_so_and_is_logged_once(
    method: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"{method} is not implemented: {reason}."
    with EmbeddedServer() as server, grpc.insecure_channel(server.address) as channel:
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(f"/{method}")(b"", timeout=SOON)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert refused.value.details() == text

    assert [each.getMessage() for each in warnings_of(caplog)] == [f"UNIMPLEMENTED: {text}"]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the server warned of."""
    return [
        each
        for each in caplog.records
        if each.name == "rele.emulator" and each.levelno >= logging.WARNING
    ]
