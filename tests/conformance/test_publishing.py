"""Publish: what it takes, and what a message becomes ("Quotas and limits: resource limits")."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from .conftest import Service, data_of, refused

MakeSubscription = Callable[..., str]
MIB = 1024 * 1024


def over(limit: str) -> pytest.MarkDecorator:
    return pytest.mark.google_differs(f"not enforced: {limit}")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({}, id="empty"),
        pytest.param({"ordering_key": "k"}, id="key only"),
        pytest.param(
            {"data": b"x", "attributes": {f"k{n}": "" for n in range(101)}},
            id="101 attributes",
            marks=over("100 attributes"),
        ),
        pytest.param(
            {"data": b"x", "attributes": {"k" * 257: ""}},
            id="key of 257 bytes",
            marks=over("attribute keys of 256 bytes"),
        ),
        pytest.param(
            {"data": b"x", "attributes": {"é" * 129: ""}},
            id="key of 258 bytes in 129 characters",
            marks=over("attribute keys of 256 bytes"),
        ),
        pytest.param(
            {"data": b"x", "attributes": {"": ""}},
            id="empty key",
            marks=over("attribute keys are not empty"),
        ),
        pytest.param(
            {"data": b"x", "attributes": {"google": ""}},
            id="reserved key",
            marks=over("attribute keys do not start with goog"),
        ),
        pytest.param(
            {"data": b"x", "attributes": {"k": "v" * 1025}},
            id="value of 1025 bytes",
            marks=over("attribute values of 1024 bytes"),
        ),
        pytest.param(
            {"data": b"x", "ordering_key": "k" * 1025},
            id="ordering key of 1025 bytes",
            marks=over("ordering keys of 1024 bytes"),
        ),
        pytest.param(
            {"data": bytes(10 * MIB + 1)}, id="more than 10 MiB", marks=over("messages of 10 MiB")
        ),
    ],
)
def test_a_bad_message_is_refused(service: Service, topic: str, message: dict[str, Any]) -> None:
    with refused("INVALID_ARGUMENT"):
        service.call("Publish", topic=topic, messages=[message])


@pytest.mark.google_differs("a request over about 11 MB gets no answer")
def test_a_request_that_is_too_large_is_refused(service: Service, topic: str) -> None:
    with refused("INVALID_ARGUMENT"):
        service.call("Publish", timeout=2, topic=topic, messages=[{"data": bytes(6 * MIB)}] * 2)


@pytest.mark.parametrize("number", [0, 1001])
def test_a_request_has_1_to_1000_messages(service: Service, topic: str, number: int) -> None:
    with refused("INVALID_ARGUMENT"):
        service.call("Publish", topic=topic, messages=[{"data": b"x"}] * number)


@pytest.mark.google_differs("messages of several ordering keys are accepted in one request")
@pytest.mark.parametrize("keys", [("a", "b"), ("", "a"), ("a", "")])
def test_a_request_has_one_ordering_key(
    service: Service, topic: str, make_subscription: MakeSubscription, keys: tuple[str, str]
) -> None:
    name = make_subscription()
    with refused("INVALID_ARGUMENT", "same ordering_key"):
        service.publish(topic, *({"data": b"x", "ordering_key": key} for key in keys))

    service.publish(topic, b"later")
    assert data_of(service.pull(name)) == [b"later"]


def test_what_is_just_allowed(service: Service, topic: str) -> None:
    service.publish(
        topic,
        {"attributes": {"only": "attributes"}},
        {"data": b"x", "attributes": {f"k{n}": "" for n in range(100)}},
        {"data": b"x", "attributes": {"k" * 256: "v" * 1024}},
    )
    service.publish(topic, {"data": b"x", "ordering_key": "k" * 1024})
    service.publish(topic, *[b"x"] * 1000)
    service.publish(topic, bytes(10_000_000))


def test_the_server_gives_ids_and_times(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription()
    theirs = datetime(2001, 1, 1, tzinfo=timezone.utc)
    message = {"message_id": "theirs", "publish_time": theirs}
    ids = service.publish(topic, {**message, "data": b"a"}, {**message, "data": b"b"})
    received = service.pull(name, 2)

    assert [each.message.message_id for each in received] == ids
    assert len({"theirs", *ids}) == 3
    for each in received:
        age = datetime.now(timezone.utc) - each.message.publish_time
        assert -1 < age.total_seconds() < 10


def test_a_new_subscription_gets_no_earlier_messages(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    service.publish(topic, b"early")
    name = make_subscription()
    service.publish(topic, b"late")

    assert data_of(service.pull(name)) == [b"late"]
    assert service.pull_now(name) == []


def test_an_unordered_backlog_comes_whole(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription()
    for number in range(200):
        service.publish(topic, b"%d" % number)

    assert sorted(map(int, data_of(service.pull(name, 200)))) == list(range(200))
