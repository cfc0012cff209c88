"""Topics and subscriptions: names, configurations, updates, lists, deletion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from .conftest import Service, data_of, refused

MakeSubscription = Callable[..., str]
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def code_of(call: Callable[[], Any]) -> str:
    """The status of a call."""
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


class TestNames:
    @pytest.mark.parametrize("name", ["abc", "Googfoo", "a~+%bc._-", "a" * 255])
    def test_good_ones(self, service: Service, name: str) -> None:
        service.subscription(service.topic(name), name)

    @pytest.mark.parametrize(
        "name",
        ["ab", "1abc", "-abc", "googfoo", "a/b/c", "a b c", "a*bc", "éééé", "a" * 256, ""],
    )
    def test_bad_ones(self, service: Service, topic: str, name: str) -> None:
        with refused("INVALID_ARGUMENT"):
            service.topic(name)
        with refused("INVALID_ARGUMENT"):
            service.subscription(topic, name)

    @pytest.mark.parametrize("name", ["", "foo", "topics/foo", "projects/p/subscriptions/foo"])
    def test_no_topics(self, service: Service, name: str) -> None:
        for call in (
            lambda: service.call("CreateTopic", name=name),
            lambda: service.call("GetTopic", topic=name),
            lambda: service.publish(name, b"x"),
            lambda: service.subscription(name),
        ):
            assert code_of(call) == "INVALID_ARGUMENT"

    @pytest.mark.parametrize("name", ["x", "projects/p/topics/foo"])
    def test_no_subscriptions(self, service: Service, name: str) -> None:
        for method in ("GetSubscription", "DeleteSubscription"):
            with refused("INVALID_ARGUMENT"):
                service.call(method, subscription=name)
        with refused("INVALID_ARGUMENT"):
            service.call("Pull", subscription=name, max_messages=1)

    @pytest.mark.google_differs("ListTopics of a malformed project is UNKNOWN")
    @pytest.mark.parametrize("project", ["", "x"])
    def test_no_projects(self, service: Service, project: str) -> None:
        with refused("INVALID_ARGUMENT"):
            service.call("ListTopics", project=project)

    def test_without_a_name_the_server_makes_one_up(self, service: Service, topic: str) -> None:
        created = service.call("CreateSubscription", topic=topic)

        assert created.name.startswith(f"{service.project}/subscriptions/")


class TestMissingAndDuplicate:
    def test_missing_ones_are_not_found(self, service: Service) -> None:
        topic = f"{service.project}/topics/none"
        sub = f"{service.project}/subscriptions/none"
        calls: dict[str, Callable[[], Any]] = {
            "GetTopic": lambda: service.call("GetTopic", topic=topic),
            "DeleteTopic": lambda: service.call("DeleteTopic", topic=topic),
            "Publish": lambda: service.publish(topic, b"x"),
            "CreateSubscription": lambda: service.subscription(topic),
            "GetSubscription": lambda: service.call("GetSubscription", subscription=sub),
            "DeleteSubscription": lambda: service.call("DeleteSubscription", subscription=sub),
            "Pull": lambda: service.call("Pull", subscription=sub, max_messages=1),
            "Acknowledge": lambda: service.ack(sub, "x"),
            "UpdateTopic": lambda: service.call(
                "UpdateTopic",
                topic={"name": topic},
                update_mask={"paths": ["message_retention_duration"]},
            ),
        }
        assert {name: code_of(call) for name, call in calls.items()} == dict.fromkeys(
            calls, "NOT_FOUND"
        )
        assert service.stream(sub).status()[0].name == "NOT_FOUND"

    @pytest.mark.google_differs("the subscriptions of a missing topic are an empty list")
    def test_so_are_the_subscriptions_of_a_missing_topic(self, service: Service) -> None:
        with refused("NOT_FOUND"):
            service.call("ListTopicSubscriptions", topic=f"{service.project}/topics/none")

    def test_duplicates_exist_already(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        make_subscription()
        with refused("ALREADY_EXISTS"):
            service.topic()
        with refused("ALREADY_EXISTS"):
            make_subscription()

    @pytest.mark.google_differs("other texts")
    def test_texts(self, service: Service, topic: str) -> None:
        with refused("NOT_FOUND", "Resource not found (resource=none)."):
            service.call("GetTopic", topic=f"{service.project}/topics/none")
        with refused("ALREADY_EXISTS", "Resource already exists in the project (resource=topic)."):
            service.topic()


class TestConfigurations:
    @pytest.mark.google_differs("expiration_policy and state are not filled in")
    def test_defaults(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        config = service.call("GetSubscription", subscription=make_subscription())
        assert config.ack_deadline_seconds == 10
        assert config.message_retention_duration == 7 * DAY
        assert not config.retain_acked_messages
        assert config.expiration_policy.ttl == 31 * DAY
        assert config.state.name == "ACTIVE"
        assert service.call("GetTopic", topic=topic).state.name == "ACTIVE"

    @pytest.mark.google_differs("topic_message_retention_duration is not filled in")
    def test_the_retention_of_the_topic_is_returned(self, service: Service) -> None:
        topic = service.topic(message_retention_duration=10 * MINUTE)
        name = service.subscription(topic)

        config = service.call("GetSubscription", subscription=name)
        assert config.topic_message_retention_duration == 10 * MINUTE

    def test_what_is_set_is_returned(self, service: Service) -> None:
        fields: dict[str, Any] = {
            "labels": {"team": "shop"},
            "kms_key_name": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
            "message_storage_policy": {"allowed_persistence_regions": ["europe-west1"]},
            "message_retention_duration": DAY,
        }
        topic = service.topic(**fields)
        config = service.call("GetTopic", topic=topic)
        assert dict(config.labels) == fields["labels"]
        assert config.kms_key_name == fields["kms_key_name"]
        assert config.message_storage_policy.allowed_persistence_regions == ["europe-west1"]
        assert config.message_retention_duration == DAY

        name = service.subscription(
            topic,
            labels={"team": "shop"},
            retain_acked_messages=True,
            enable_message_ordering=True,
            enable_exactly_once_delivery=True,
            ack_deadline_seconds=77,
            message_retention_duration=DAY,
        )
        sub = service.call("GetSubscription", subscription=name)
        assert dict(sub.labels) == {"team": "shop"}
        assert (sub.retain_acked_messages, sub.enable_message_ordering) == (True, True)
        assert (sub.enable_exactly_once_delivery, sub.ack_deadline_seconds) == (True, 77)
        assert sub.message_retention_duration == DAY

    @pytest.mark.parametrize("retention", [599 * MINUTE / 60, 32 * DAY])
    def test_retention_has_a_range(
        self, service: Service, make_subscription: MakeSubscription, retention: timedelta
    ) -> None:
        with refused("INVALID_ARGUMENT"):
            make_subscription(message_retention_duration=retention)
        with refused("INVALID_ARGUMENT"):
            service.topic("other", message_retention_duration=retention)

    def test_the_ends_of_the_range(self, make_subscription: MakeSubscription) -> None:
        make_subscription("shortest", message_retention_duration=10 * MINUTE)
        make_subscription("default", message_retention_duration=7 * DAY)

    @pytest.mark.google_differs("a subscription retains for 7 days at most")
    def test_a_subscription_may_retain_for_31_days(
        self, make_subscription: MakeSubscription
    ) -> None:
        make_subscription(message_retention_duration=31 * DAY)

    @pytest.mark.google_differs("an expiration of 1 h is accepted")
    def test_expiration_is_a_day_at_least(self, make_subscription: MakeSubscription) -> None:
        with refused("INVALID_ARGUMENT"):
            make_subscription(expiration_policy={"ttl": timedelta(hours=1)})

    def test_it_may_be_never(self, service: Service, make_subscription: MakeSubscription) -> None:
        name = make_subscription(expiration_policy={})

        assert not service.call("GetSubscription", subscription=name).expiration_policy.ttl

    @pytest.mark.google_differs("the limits of labels are not enforced")
    @pytest.mark.parametrize(
        "labels", [{"Bad Key": "v"}, {f"k{number}": "" for number in range(65)}]
    )
    def test_labels_have_limits(self, service: Service, labels: dict[str, str]) -> None:
        with refused("INVALID_ARGUMENT"):
            service.topic(labels=labels)

    def test_an_empty_push_config_is_in_every_answer(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription()
        updated = service.call(
            "UpdateSubscription",
            subscription={"name": name, "push_config": {}},
            update_mask={"paths": ["push_config"]},
        )
        (listed,) = service.call("ListSubscriptions", project=service.project).subscriptions

        for answer in (service.call("GetSubscription", subscription=name), updated, listed):
            assert types.Subscription.pb(answer).HasField("push_config")

    def test_an_empty_push_config_is_a_pull_subscription(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription(push_config={})
        service.call("ModifyPushConfig", subscription=name, push_config={})
        service.publish(topic, b"a")

        assert data_of(service.pull(name)) == [b"a"]


def differs(value: Any, reason: str) -> Any:
    return pytest.param(*value, marks=pytest.mark.google_differs(reason))


class TestUpdateSubscription:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("ack_deadline_seconds", 99),
            ("retain_acked_messages", True),
            ("message_retention_duration", DAY),
            ("enable_exactly_once_delivery", True),
            ("retry_policy", {"minimum_backoff": MINUTE, "maximum_backoff": MINUTE}),
            differs(("labels", {"a": "1"}), "labels cannot be updated"),
            differs(("expiration_policy", {"ttl": 2 * DAY}), "expiration cannot be updated"),
        ],
    )
    def test_what_the_mask_names_changes(
        self, service: Service, make_subscription: MakeSubscription, path: str, value: Any
    ) -> None:
        name = make_subscription(ack_deadline_seconds=50)
        request = {"name": name, "ack_deadline_seconds": 60, path: value}
        updated = self.update(service, request, path)

        expected = type(updated)(**{path: value})
        assert getattr(updated, path) == getattr(expected, path)
        assert updated.ack_deadline_seconds == (99 if path == "ack_deadline_seconds" else 50)
        assert service.call("GetSubscription", subscription=name) == updated

    def test_what_is_not_set_is_cleared(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription(dead_letter_policy={"dead_letter_topic": topic}, retry_policy={})
        updated = self.update(service, {"name": name}, "dead_letter_policy", "retry_policy")

        assert "dead_letter_policy" not in updated
        assert "retry_policy" not in updated

    @pytest.mark.parametrize(
        "path",
        [
            "enable_message_ordering",
            "filter",
            "topic",
            "name",
            "nope",
            "push_config.push_endpoint",
            "ackDeadlineSeconds",
            None,
        ],
    )
    def test_what_cannot_be_changed_is_refused(
        self, service: Service, make_subscription: MakeSubscription, path: str | None
    ) -> None:
        name = make_subscription()
        before = service.call("GetSubscription", subscription=name)
        with refused("INVALID_ARGUMENT"):
            self.update(
                service,
                {"name": name, "enable_message_ordering": True, "filter": "attributes:a"},
                *([path] if path else []),
            )

        assert service.call("GetSubscription", subscription=name) == before

    @pytest.mark.google_differs("5 s is accepted")
    def test_values_are_checked(
        self, service: Service, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription()
        with refused("INVALID_ARGUMENT"):
            self.update(service, {"name": name, "ack_deadline_seconds": 5}, "ack_deadline_seconds")

    @staticmethod
    def update(service: Service, fields: dict[str, Any], *paths: str) -> Any:
        return service.call(
            "UpdateSubscription", subscription=fields, update_mask={"paths": list(paths)}
        )


class TestUpdateTopic:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("message_retention_duration", DAY),
            differs(("labels", {"a": "1"}), "labels cannot be updated"),
            differs(
                ("message_storage_policy", {"allowed_persistence_regions": ["europe-west1"]}),
                "the storage policy cannot be updated",
            ),
        ],
    )
    def test_what_the_mask_names_changes(
        self, service: Service, topic: str, path: str, value: Any
    ) -> None:
        updated = self.update(service, {"name": topic, path: value}, path)

        assert getattr(updated, path) == getattr(type(updated)(**{path: value}), path)
        assert service.call("GetTopic", topic=topic) == updated

    @pytest.mark.parametrize("paths", [[], ["nope"], ["name"]])
    def test_what_cannot_be_changed_is_refused(
        self, service: Service, topic: str, paths: list[str]
    ) -> None:
        with refused("INVALID_ARGUMENT"):
            self.update(service, {"name": topic}, *paths)

    @staticmethod
    def update(service: Service, fields: dict[str, Any], *paths: str) -> Any:
        return service.call("UpdateTopic", topic=fields, update_mask={"paths": list(paths)})


class TestLists:
    def test_topics_come_in_pages(self, service: Service) -> None:
        names = {service.topic(f"topic-{number:02}") for number in range(25)}
        seen, sizes, token = set(), [], ""
        while token or not sizes:
            page = service.call(
                "ListTopics", project=service.project, page_size=10, page_token=token
            )
            seen |= {each.name for each in page.topics}
            sizes.append(len(page.topics))
            token = page.next_page_token

        assert (seen, sizes) == (names, [10, 10, 5])

    def test_without_a_size_all_come(self, service: Service) -> None:
        for number in range(25):
            service.topic(f"topic-{number:02}")
        for size in (0, 25):
            page = service.call("ListTopics", project=service.project, page_size=size)
            assert (len(page.topics), page.next_page_token) == (25, "")

    def test_subscriptions_of_a_project_and_of_a_topic(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        names = sorted(make_subscription(f"sub-{number}") for number in range(3))
        listed = service.call("ListSubscriptions", project=service.project)
        assert sorted(each.name for each in listed.subscriptions) == names
        page = service.call("ListTopicSubscriptions", topic=topic, page_size=2)
        assert len(page.subscriptions) == 2
        rest = service.call("ListTopicSubscriptions", topic=topic, page_token=page.next_page_token)
        assert sorted([*page.subscriptions, *rest.subscriptions]) == names

    def test_an_unknown_project_is_empty(self, service: Service) -> None:
        assert list(service.call("ListTopics", project=service.project).topics) == []

    @pytest.mark.google_differs("negative sizes and bad tokens are accepted")
    @pytest.mark.parametrize("fields", [{"page_size": -1}, {"page_token": "no token"}])
    def test_bad_pages_are_refused(self, service: Service, fields: dict[str, Any]) -> None:
        with refused("INVALID_ARGUMENT"):
            service.call("ListTopics", project=service.project, **fields)


class TestDetach:
    @pytest.mark.google_differs("DetachSubscription is unimplemented")
    def test_its_messages_are_dropped_and_pulls_fail(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription()
        service.publish(topic, b"a")
        stream = service.stream(name)
        stream.next()
        service.call("DetachSubscription", subscription=name)

        assert stream.status()[0].name == "FAILED_PRECONDITION"
        assert service.call("GetSubscription", subscription=name).detached
        with refused("FAILED_PRECONDITION"):
            service.call("Pull", subscription=name, max_messages=1)

    @pytest.mark.google_differs("DetachSubscription is unimplemented")
    def test_a_missing_one(self, service: Service) -> None:
        with refused("NOT_FOUND"):
            service.call("DetachSubscription", subscription=f"{service.project}/subscriptions/none")


class TestDelete:
    def test_a_subscription_outlives_its_topic(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription()
        service.publish(topic, b"before")
        service.call("DeleteTopic", topic=topic)
        assert service.call("GetSubscription", subscription=name).topic == "_deleted-topic_"
        service.topic()
        service.publish(topic, b"after")

        assert data_of(service.pull(name)) == [b"before"]
        assert service.pull_now(name) == []

    def test_a_new_subscription_of_that_name_is_empty(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription()
        service.publish(topic, b"a")
        service.call("DeleteSubscription", subscription=name)
        make_subscription()

        assert service.pull_now(name) == []


def test_there_are_no_schemas_at_first(service: Service) -> None:
    assert list(service.call("ListSchemas", parent=service.project).schemas) == []
