"""What both engines record, with each kind of handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import rele
from rele import Batch, BatchMessage, Subscription
from rele.dead_letter_policy import DeadLetterPolicy
from rele.exceptions import DeadLetter, Retry
from rele.retry_policy import RetryPolicy
from tests.support.recorder import raising
from tests.support.telemetry import Recorded, id_of, links_of, parent_of, trace_of

pytestmark = pytest.mark.both_engines

Run = Callable[..., Any]


def handle(data: Any, **attributes: Any) -> None: ...


async def handle_async(data: Any, **attributes: Any) -> None:
    await asyncio.sleep(0)


def given(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {}).get(name)


@pytest.mark.parametrize("handler", [handle, handle_async])
def test_a_message_is_one_trace(run_traced: Run, recorded: Recorded, handler: Any) -> None:
    run_traced([Subscription(handler, "orders")])

    with recorded.tracer.start_as_current_span("POST /orders") as request:
        future = rele.publish("orders", {"id": 1}, blocking=True, timeout=10)

    created, ack = recorded.span("create orders"), recorded.span("ack orders")
    sent, received = recorded.span("send orders"), recorded.span("receive orders")
    process = recorded.span("process orders")
    assert {trace_of(each) for each in (created, sent, received, process, ack)} == {
        request.get_span_context().trace_id
    }
    assert [parent_of(each) for each in (sent, received, process)] == [id_of(created)] * 3
    assert (parent_of(ack), links_of(ack)) == (id_of(process), [id_of(process)])
    for span in (received, process, ack):
        assert given(span, "messaging.message.id") == future.result()
        assert given(span, "messaging.gcp_pubsub.message.ack_id")
    assert created.end_time is not None
    for earlier, later in ((created, sent), (received, process), (process, ack)):
        assert earlier.start_time is not None
        assert later.start_time is not None
        assert earlier.start_time <= later.start_time


@pytest.mark.only_engine("rele")
def test_a_batch_is_linked_with_each_message(run_traced: Run, recorded: Recorded) -> None:
    numbers: list[int] = []

    def handle_batch(messages: list[BatchMessage]) -> None:
        numbers.append(len(messages))

    run_traced([Subscription(handle_batch, "orders", batch=Batch(3, 20))])

    rele.publish_many("orders", [{"id": number} for number in range(3)])

    process, sent = recorded.span("process orders"), recorded.span("send orders")
    created = sorted(map(id_of, recorded.spans("create orders", 3)))
    ack = recorded.span("ack orders")
    assert numbers == [3]
    assert (parent_of(process), sorted(links_of(process))) == (None, created)
    assert sorted(links_of(sent)) == created
    assert (trace_of(ack), links_of(ack)) == (trace_of(process), [id_of(process)] * 3)
    for span in (sent, process, ack):
        assert given(span, "messaging.batch.message_count") == 3


def test_a_redelivery_is_in_the_same_trace(run_traced: Run, recorded: Recorded) -> None:
    attempts: list[Any] = []

    def fail_once(data: Any, **attributes: Any) -> None:
        attempts.append(data)
        if len(attempts) == 1:
            raise ValueError("not today")
        if len(attempts) == 2:
            raise Retry(1)

    run_traced([Subscription(fail_once, "orders", retry_policy=RetryPolicy(1, 2))])

    rele.publish("orders", 1)

    created, ack = recorded.span("create orders"), recorded.span("ack orders")
    failed, delayed, succeeded = recorded.spans("process orders", 3)
    nack = recorded.span("nack orders")
    [delay] = [
        span
        for span in recorded.spans("modack orders")
        if given(span, "messaging.gcp_pubsub.message.ack_deadline") == 1
    ]
    assert [parent_of(each) for each in (failed, delayed, succeeded)] == [id_of(created)] * 3
    assert (links_of(nack), given(nack, "messaging.gcp_pubsub.message.ack_deadline")) == (
        [id_of(failed)],
        0,
    )
    assert links_of(delay) == [id_of(delayed)]
    assert links_of(ack) == [id_of(succeeded)]
    assert (given(failed, "error.type"), given(delayed, "error.type")) == ("ValueError", None)
    assert given(delayed, "rele.decision") == "retry"


def test_a_dead_letter_stays_in_its_trace(run_traced: Run, recorded: Recorded) -> None:
    run_traced(
        [Subscription(raising(DeadLetter()), "orders", dead_letter_policy=DeadLetterPolicy())]
    )

    rele.publish("orders", 1)

    created, process = recorded.span("create orders"), recorded.span("process orders")
    sent = recorded.span("send orders-dead-letter")
    assert (parent_of(sent), links_of(sent)) == (id_of(created), [id_of(created)])
    assert given(process, "rele.decision") == "dead_letter"
    assert links_of(recorded.span("ack orders")) == [id_of(process)]


def test_messages_are_counted_and_measured(run_traced: Run, recorded: Recorded) -> None:
    run_traced([Subscription(handle, "orders")])

    rele.publish_many("orders", [1, 2], blocking=True, timeout=10)
    recorded.spans("process orders", 2)
    recorded.spans("ack orders")

    [sent] = recorded.points("messaging.client.sent.messages")
    [consumed] = recorded.points("messaging.client.consumed.messages")
    [processed] = recorded.points("messaging.process.duration")
    durations = recorded.points("messaging.client.operation.duration")
    assert (sent.value, consumed.value, processed.count) == (2, 2, 2)
    assert {each.attributes["messaging.operation.name"] for each in durations} >= {
        "send",
        "receive",
        "ack",
    }


def test_a_request_that_is_refused_is_recorded(
    recorded: Recorded, configure: Callable[..., Any]
) -> None:
    configure(MIDDLEWARE=["rele.contrib.OpenTelemetryMiddleware"])

    with pytest.raises(Exception, match="orders"):
        rele.publish("orders", 1, blocking=True, timeout=10)

    span = recorded.span("send orders")
    assert given(span, "error.type") == "NOT_FOUND"
    assert not span.status.is_ok
