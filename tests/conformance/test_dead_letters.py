"""Dead letters ("Handle message failures: dead-letter topics")."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from .conftest import Service, data_of, refused

MakeSubscription = Callable[..., str]


@pytest.fixture
def dead_topic(service: Service) -> str:
    return service.topic("dead")


@pytest.fixture
def dead_sub(service: Service, dead_topic: str) -> str:
    return service.subscription(dead_topic, "dead")


def policy(topic: str, attempts: int = 5) -> dict[str, object]:
    return {"dead_letter_topic": topic, "max_delivery_attempts": attempts}


def test_a_message_is_forwarded_after_its_last_attempt(
    service: Service,
    topic: str,
    make_subscription: MakeSubscription,
    dead_topic: str,
    dead_sub: str,
) -> None:
    name = make_subscription(dead_letter_policy=policy(dead_topic))
    (message_id,) = service.publish(topic, {"data": b"a", "attributes": {"k": "v"}})
    attempts = []
    for _ in range(5):
        (received,) = service.pull(name)
        attempts.append(received.delivery_attempt)
        service.nack(name, received)

    assert attempts == [1, 2, 3, 4, 5]
    assert service.pull_now(name) == []
    (forwarded,) = service.pull(dead_sub)
    assert forwarded.message.data == b"a"
    assert forwarded.message.message_id != message_id
    attributes = dict(forwarded.message.attributes)
    published = attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", published)
    assert attributes == {
        "k": "v",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": "sub",
        "CloudPubSubDeadLetterSourceSubscriptionProject": service.project.split("/")[1],
    }


def test_without_a_policy_attempts_are_not_counted(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription()
    service.publish(topic, b"a")

    (received,) = service.pull(name)
    assert received.delivery_attempt == 0


def test_without_the_dead_letter_topic_a_message_stays(
    service: Service, topic: str, make_subscription: MakeSubscription, dead_topic: str
) -> None:
    name = make_subscription(dead_letter_policy=policy(dead_topic))
    service.call("DeleteTopic", topic=dead_topic)
    service.publish(topic, b"a")
    for _ in range(6):
        (received,) = service.pull(name)
        service.nack(name, received)

    assert data_of(service.pull(name)) == [b"a"]


@pytest.mark.google_differs("attempts out of range are OUT_OF_RANGE")
@pytest.mark.parametrize("attempts", [4, 101, -1])
def test_attempts_out_of_range_are_refused(
    make_subscription: MakeSubscription, dead_topic: str, attempts: int
) -> None:
    with refused("INVALID_ARGUMENT"):
        make_subscription(dead_letter_policy=policy(dead_topic, attempts))


def test_no_number_of_attempts_means_five(
    service: Service, make_subscription: MakeSubscription, dead_topic: str
) -> None:
    name = make_subscription(dead_letter_policy=policy(dead_topic, 0))

    config = service.call("GetSubscription", subscription=name)
    assert config.dead_letter_policy.max_delivery_attempts == 5


def test_the_topic_has_to_exist(service: Service, make_subscription: MakeSubscription) -> None:
    with refused("NOT_FOUND"):
        make_subscription(dead_letter_policy=policy(f"{service.project}/topics/missing"))


@pytest.mark.slow
def test_an_expiry_counts_as_an_attempt(
    service: Service,
    topic: str,
    make_subscription: MakeSubscription,
    dead_topic: str,
    dead_sub: str,
) -> None:
    name = make_subscription(dead_letter_policy=policy(dead_topic))
    service.publish(topic, b"a")

    attempts = [service.pull(name, within=15)[0].delivery_attempt for _ in range(5)]
    assert attempts == [1, 2, 3, 4, 5]
    assert service.pull(name, within=11) == []
    assert data_of(service.pull(dead_sub)) == [b"a"]
