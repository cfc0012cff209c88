"""What requests may carry."""

from __future__ import annotations

from typing import Any

import pytest

from rele.emulator.rules import limits
from rele.emulator.rules.refusals import InvalidArgumentError
from rele.emulator.wire.descriptors import message_class

TEN_MIB = 10 * 1024 * 1024


def publish_request(*messages: dict[str, Any]) -> Any:
    request = message_class("PublishRequest")(topic="projects/p/topics/abc")
    for message in messages:
        request.messages.add(**message)
    return request


def ack_request(ack_ids: list[str]) -> Any:
    return message_class("AcknowledgeRequest")(ack_ids=ack_ids)


@pytest.mark.parametrize(
    "messages",
    [
        [{"data": b"x"}],
        [{"attributes": {"k": "v"}}],
        [{"data": b"x"}] * 1000,
        [{"data": b"x" * TEN_MIB, "attributes": {"k": "v" * 1024}}],
        [{"attributes": {f"{number}": "" for number in range(100)}}],
        [{"attributes": {"k" * 256: "v" * 1024}}],
        [{"attributes": {"é" * 128: "é" * 512}}],
        [{"attributes": {"googclient_traceparent": "v"}}],
        [{"data": b"x", "ordering_key": "k" * 1024}],
        [{"data": b"x", "ordering_key": "k"}] * 1000,
    ],
)
def test_what_may_be_published(messages: list[dict[str, Any]]) -> None:
    limits.check_publish(publish_request(*messages))


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([], "messages must have 1 to 1000 messages, got 0"),
        ([{"data": b"x"}] * 1001, "messages must have 1 to 1000 messages, got 1001"),
        ([{"data": b"x"}, {}], r"messages\[1\] must have data or at least one attribute"),
        ([{"ordering_key": "k"}], r"messages\[0\] must have data"),
        ([{"data": b"x" * (TEN_MIB + 1)}], r"messages\[0\]\.data must be at most 10485760 bytes"),
        ([{"data": b"x" * 6_000_000}] * 2, "messages must be at most .* in one request"),
        (
            [{"attributes": {f"{number}": "" for number in range(101)}}],
            r"messages\[0\]\.attributes: there must be at most 100, got 101",
        ),
        ([{"attributes": {"k" * 257: ""}}], "attributes key must be at most 256 bytes, got 257"),
        ([{"attributes": {"é" * 129: ""}}], "attributes key must be at most 256 bytes, got 258"),
        ([{"attributes": {"k": "v" * 1025}}], "attributes value must be at most 1024 bytes"),
        ([{"attributes": {"": "v"}}], "attributes keys must not be empty"),
        ([{"attributes": {"googfoo": "v"}}], "or start with goog, got 'googfoo'"),
        ([{"data": b"x", "ordering_key": "k" * 1025}], r"ordering_key must be at most 1024 bytes"),
        (
            [{"data": b"x", "ordering_key": key} for key in "aab"],
            r"same ordering_key .* 'a' in messages\[0\] and 'b' in messages\[2\]",
        ),
        (
            [{"data": b"x"}, {"data": b"x", "ordering_key": "a"}],
            r"same ordering_key .* '' in messages\[0\] and 'a' in messages\[1\]",
        ),
    ],
)
def test_what_may_not_be_published(messages: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        limits.check_publish(publish_request(*messages))


def test_extensions_are_from_0_to_600_seconds() -> None:
    limits.check_extensions([0, 600], ["a", "b"], "field")
    for wrong in (-1, 601):
        with pytest.raises(InvalidArgumentError, match=f"field must be from 0 to 600, got {wrong}"):
            limits.check_extensions([0, wrong], ["a", "b"], "field")


def test_every_ack_id_has_its_extension() -> None:
    with pytest.raises(InvalidArgumentError, match="field must have as many values"):
        limits.check_extensions([1], ["a", "b"], "field")


@pytest.mark.parametrize("seconds", [-1, 0, 9, 601])
def test_ack_deadlines_are_from_10_to_600_seconds(seconds: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"field must be from 10 to 600, got {seconds}"):
        limits.check_ack_deadline(seconds, "field")


def test_pulls_ask_for_at_least_one_message() -> None:
    with pytest.raises(InvalidArgumentError, match="max_messages must be positive, got 0"):
        limits.check_max_messages(0)


def test_acks_name_at_least_one_message() -> None:
    with pytest.raises(InvalidArgumentError, match="ack_ids must have at least one"):
        limits.check_ack_ids(ack_request([]))


def test_acks_name_at_most_1000_messages() -> None:
    limits.check_ack_ids(ack_request(["a"] * 1000))
    with pytest.raises(InvalidArgumentError, match=r"at most 1000 ack ids .* got 1001"):
        limits.check_ack_ids(ack_request(["a"] * 1001))


def test_acks_are_at_most_512_kibibytes() -> None:
    limits.check_ack_ids(ack_request(["a" * 1020] * 512))
    with pytest.raises(InvalidArgumentError, match="at most 524288 bytes, got 524800"):
        limits.check_ack_ids(ack_request(["a" * 1022] * 512))
