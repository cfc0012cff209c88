"""Each span and each metric has what the conventions require and recommend, and nothing else.

The source of :data:`SPANS` and :data:`METRICS` are OpenTelemetry's semantic conventions 1.44.0, in
the repository ``open-telemetry/semantic-conventions``: ``docs/messaging/gcp-pubsub.md``,
``docs/messaging/messaging-spans.md`` and ``docs/messaging/messaging-metrics.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

import rele
from rele import Batch, Callback, Subscription
from rele.status.observers import OBSERVERS, PublishRequest, SettlementRequest
from rele.testing import captured_messages
from tests.support.deliveries import Delivery
from tests.support.recorder import raising
from tests.support.telemetry import Received, Recorded, Sent

ALWAYS, IF_FAILED, IF_SINGLE, IF_SINGLE_SENT, IF_BATCH, IF_ORDERED, IF_SINGLE_ORDERED = (
    "always",
    "if it has failed",
    "if it is about one message",
    "if it is about one message, which has an id since Pub/Sub has accepted it",
    "if it is about several messages",
    "if all messages have one ordering key",
    "if it is about one message, which has an ordering key",
)
"""When the attribute is there. What is recommended is always given where it is known."""

_ALL = {
    "messaging.system": ("required", ALWAYS),
    "messaging.operation.name": ("required", ALWAYS),
    "messaging.destination.name": ("conditionally required", ALWAYS),
    "server.address": ("conditionally required", ALWAYS),
    "server.port": ("recommended", ALWAYS),
    "error.type": ("conditionally required", IF_FAILED),
}
_TYPE = {"messaging.operation.type": ("conditionally required", ALWAYS)}
_CLIENT = {"messaging.client.id": ("recommended", ALWAYS)}
_KEY = {"messaging.gcp_pubsub.message.ordering_key": ("conditionally required", IF_ORDERED)}
_BATCH = {"messaging.batch.message_count": ("conditionally required", IF_BATCH)}
_ID = {"messaging.message.id": ("recommended", IF_SINGLE)}
_SENT_ID = {"messaging.message.id": ("recommended", IF_SINGLE_SENT)}
_CONSUMER = {
    **_ID,
    **_BATCH,
    **_CLIENT,
    "messaging.destination.subscription.name": ("conditionally required", ALWAYS),
    "messaging.gcp_pubsub.message.ack_id": ("recommended", IF_SINGLE),
    "messaging.gcp_pubsub.message.delivery_attempt": ("recommended", IF_SINGLE),
}
_SETTLE = {
    **_ALL,
    **_CONSUMER,
    "messaging.gcp_pubsub.message.ordering_key": ("conditionally required", IF_SINGLE_ORDERED),
}
_DEADLINE = {"messaging.gcp_pubsub.message.ack_deadline": ("recommended", ALWAYS)}

SPANS: dict[str, tuple[SpanKind, dict[str, tuple[str, str]]]] = {
    "create": (SpanKind.PRODUCER, {**_ALL, **_TYPE, **_KEY}),
    # The context of the message is that of its "create" span.
    "send": (SpanKind.CLIENT, {**_ALL, **_TYPE, **_KEY, **_BATCH, **_SENT_ID, **_CLIENT}),
    "receive": (SpanKind.CLIENT, {**_ALL, **_TYPE, **_KEY, **_CONSUMER}),
    "process": (SpanKind.CONSUMER, {**_ALL, **_TYPE, **_KEY, **_CONSUMER}),
    "ack": (SpanKind.CLIENT, {**_SETTLE, **_TYPE}),
    "nack": (SpanKind.CLIENT, {**_SETTLE, **_TYPE, **_DEADLINE}),
    # The page on Pub/Sub gives it no type: it settles nothing.
    "modack": (SpanKind.CLIENT, {**_SETTLE, **_DEADLINE}),
}

NOT_GIVEN = {
    "messaging.message.id": "of `create`: Pub/Sub gives the id later, to another process perhaps",
    "messaging.message.conversation_id": "Pub/Sub has no conversations",
    "messaging.destination.partition.id": "Pub/Sub has no partitions that clients see",
    "messaging.destination.template": "a name is not made from a template",
    "messaging.consumer.group.name": "a subscription is no consumer group",
    "network.peer.address": "the page on Pub/Sub does not name it: all nodes are alike",
    "network.peer.port": "as above",
    "messaging.message.body.size": "opt-in",
    "messaging.message.envelope.size": "opt-in",
}
"""What is required on a condition that is never met, or recommended but not known, or opt-in."""

_OF_METRICS = {
    "messaging.system": ("required", ALWAYS),
    "messaging.operation.name": ("required", ALWAYS),
    "messaging.destination.name": ("conditionally required", ALWAYS),
    "server.address": ("conditionally required", ALWAYS),
    "server.port": ("recommended", ALWAYS),
    "error.type": ("conditionally required", IF_FAILED),
}
_NAME = {"messaging.destination.subscription.name": ("conditionally required", ALWAYS)}


class Case:
    """What operations are about."""

    def __init__(self, *, messages: int = 1, key: str = "", fails: bool = False) -> None:
        self.messages = messages
        self.key = key
        self.fails = fails

    def __repr__(self) -> str:
        return f"{self.messages}-{self.key or 'unordered'}-{'failed' if self.fails else 'done'}"

    def has(self, condition: str) -> bool:
        return {
            ALWAYS: True,
            IF_FAILED: self.fails,
            IF_SINGLE: self.messages == 1,
            IF_SINGLE_SENT: self.messages == 1 and not self.fails,
            IF_BATCH: self.messages > 1,
            IF_ORDERED: bool(self.key),
            IF_SINGLE_ORDERED: bool(self.key) and self.messages == 1,
        }[condition]


CASES = [
    Case(messages=messages, key=key, fails=fails)
    for messages in (1, 3)
    for key in ("", "customer-1")
    for fails in (False, True)
]


@pytest.fixture(params=CASES, ids=repr)
def case(request: pytest.FixtureRequest) -> Case:
    case: Case = request.param
    return case


def check(span: ReadableSpan, operation: str, case: Case) -> None:
    kind, levels = SPANS[operation]
    expected = {name for name, (_, condition) in levels.items() if case.has(condition)}
    given = span.attributes or {}

    assert span.kind is kind
    assert {name for name in given if not name.startswith("rele.")} == expected
    assert given["messaging.system"] == "gcp_pubsub"
    assert given["messaging.operation.name"] == operation
    assert span.name == f"{operation} {given['messaging.destination.name']}"
    assert (given["server.address"], given["server.port"]) == ("pubsub.example", 8085)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


@pytest.fixture(autouse=True)
def _set_up(trace_messages: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "pubsub.example:8085")
    trace_messages()


def create(case: Case) -> list[dict[str, str]]:
    """Publish the messages of ``case``; the attributes that they have then."""
    key = {"ordering_key": case.key} if case.key else {}
    with captured_messages() as published:
        rele.publish_many("orders", [({"id": number}, key) for number in range(case.messages)])
    return [message.attributes for message in published]


def handle(case: Case) -> Subscription:
    """Let a handler have the messages of ``case``, from the engine on."""
    handler = raising(ValueError("no")) if case.fails else lambda *_args, **_attributes: None
    batch = {} if case.messages == 1 else {"batch": Batch(case.messages)}
    subscription = Subscription(handler, "orders", **batch)
    deliveries = [
        Delivery(b"{}", attributes, case.key, number=number, attempt=1)
        for number, attributes in enumerate(create(case))
    ]
    callback = Callback(subscription)
    if case.messages == 1:
        callback(deliveries[0].message)
    else:
        callback.handle_batch([each.message for each in deliveries])
    return subscription


def test_create(recorded: Recorded, case: Case) -> None:
    create(case)

    spans = recorded.spans("create orders", case.messages)
    assert len(spans) == case.messages
    for span in spans:
        check(span, "create", Case(key=case.key))


def test_send(recorded: Recorded, case: Case) -> None:
    error = NotFound("no such topic") if case.fails else None
    messages = [
        Sent(attributes, case.key, "" if case.fails else f"id-{number}")
        for number, attributes in enumerate(create(case))
    ]

    OBSERVERS.note_publish_request(
        PublishRequest("projects/shop/topics/orders", messages, 100.0, 0.5, error)
    )

    span = recorded.span("send orders")
    if case.fails:
        assert (span.attributes or {})["error.type"] == "NOT_FOUND"
    check(span, "send", case)


def test_receive_and_process(recorded: Recorded, case: Case) -> None:
    handle(case)

    check(recorded.span("process orders"), "process", case)
    check(recorded.span("receive orders"), "receive", Case(messages=case.messages, key=case.key))


@pytest.mark.parametrize("kind", ["ack", "nack", "modack"])
def test_the_duration_of_a_settlement(recorded: Recorded, case: Case, kind: Any) -> None:
    messages = [Received(f"ack-{number}") for number in range(case.messages)]
    error = "UNAVAILABLE: try later" if case.fails else None

    OBSERVERS.note_settlement_request(
        SettlementRequest(
            "projects/shop/subscriptions/orders", kind, messages, 100.0, 0.5, error, None
        )
    )

    [point] = recorded.points("messaging.client.operation.duration")
    levels = {**_OF_METRICS, **_NAME, **({} if kind == "modack" else _TYPE)}
    _check_point(point, levels, case)
    assert (point.count, point.sum) == (1, 0.5)


@pytest.mark.parametrize("kind", ["ack", "nack", "modack"])
def test_settle(recorded: Recorded, case: Case, kind: Any) -> None:
    handle(case)
    messages = [
        Received(f"ack-{number}", f"id-{number}", case.key, 1) for number in range(case.messages)
    ]
    error = "UNAVAILABLE: try later" if case.fails else None
    deadline = {"ack": None, "nack": 0, "modack": 60}[kind]

    OBSERVERS.note_settlement_request(
        SettlementRequest(
            "projects/shop/subscriptions/orders", kind, messages, 100.0, 0.5, error, deadline
        )
    )

    span = recorded.span(f"{kind} orders")
    check(span, kind, case)
    if case.fails:
        assert (span.attributes or {})["error.type"] == "UNAVAILABLE"


def _check_point(point: Any, levels: dict[str, tuple[str, str]], case: Case) -> None:
    expected = {name for name, (_, condition) in levels.items() if case.has(condition)}

    assert set(point.attributes) == expected


def test_sent_messages_and_the_duration_of_a_request(recorded: Recorded, case: Case) -> None:
    error = NotFound("no such topic") if case.fails else None

    OBSERVERS.note_publish_request(
        PublishRequest("projects/shop/topics/orders", [Sent()] * case.messages, 100.0, 0.5, error)
    )

    [sent] = recorded.points("messaging.client.sent.messages")
    [duration] = recorded.points("messaging.client.operation.duration")
    _check_point(sent, _OF_METRICS, case)
    _check_point(duration, {**_OF_METRICS, **_TYPE}, case)
    assert sent.value == case.messages
    assert (duration.count, duration.sum) == (1, 0.5)
    assert 0.5 in duration.explicit_bounds
    assert len(duration.explicit_bounds) == 14


def test_consumed_messages(recorded: Recorded, case: Case) -> None:
    messages = [Received(f"ack-{number}") for number in range(case.messages)]

    OBSERVERS.note_received("projects/shop/subscriptions/orders", messages, 100.0)

    [point] = recorded.points("messaging.client.consumed.messages")
    _check_point(point, {**_OF_METRICS, **_NAME}, Case(messages=case.messages))
    assert point.value == case.messages


def test_the_duration_of_a_handler_is_that_of_its_span(recorded: Recorded, case: Case) -> None:
    handle(case)

    span = recorded.span("process orders")
    [point] = recorded.points("messaging.process.duration")
    _check_point(point, {**_OF_METRICS, **_NAME}, case)
    assert span.end_time is not None
    assert span.start_time is not None
    assert point.count == 1
    assert point.sum == pytest.approx((span.end_time - span.start_time) / 1e9)


def test_what_is_left_out_has_a_reason() -> None:
    given = {name for _, levels in SPANS.values() for name in levels}

    assert NOT_GIVEN.keys() & given == {"messaging.message.id"}
