from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import ProxyTracerProvider, StatusCode, get_current_span

import rele
from rele import Batch, BatchMessage, Callback, PartialFailure, Subscription
from rele.contrib import OpenTelemetryMiddleware
from rele.exceptions import DeadLetter, Drop, Reject, Retry
from rele.logs.message_filter import MessageFilter
from rele.runtime.in_use import IN_USE
from rele.status.observers import OBSERVERS, PublishRequest, SettlementRequest
from rele.testing import captured_messages, deliver
from tests.support.recorder import raising
from tests.support.telemetry import (
    MIDDLEWARE,
    Received,
    Recorded,
    Sent,
    id_of,
    links_of,
    parent_of,
    trace_of,
)

Configure = Callable[..., None]

TRACEPARENT = "googclient_traceparent"


def publish(topic: str = "orders", **attributes: str) -> dict[str, str]:
    """Publish a message; its attributes."""
    with captured_messages() as published:
        rele.publish(topic, {"id": 1}, **attributes)
    return published[0].attributes


class TestPublishing:
    def test_a_message_has_the_context_of_its_span(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()

        with recorded.tracer.start_as_current_span("POST /orders") as request:
            attributes = publish(lang="es")

        span = recorded.span("create orders")
        trace_id, span_id = f"{trace_of(span):032x}", f"{id_of(span):016x}"
        flags = f"{span.get_span_context().trace_flags:02x}"
        assert attributes[TRACEPARENT] == f"00-{trace_id}-{span_id}-{flags}"
        assert attributes["lang"] == "es"
        assert parent_of(span) == request.get_span_context().span_id

    def test_a_context_that_is_given_stays(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        """As the conventions say: it is that of the message's creator."""
        given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        trace_messages()

        assert publish(traceparent=given).keys() == {"traceparent", "published_at"}
        assert publish(**{TRACEPARENT: given})[TRACEPARENT] == given
        assert recorded.names == []

    def test_what_is_not_sampled_carries_this_on(
        self, monkeypatch: pytest.MonkeyPatch, trace_messages: Configure
    ) -> None:
        recorded = Recorded(monkeypatch, ALWAYS_OFF)
        trace_messages()

        assert int(publish()[TRACEPARENT][-2:], 16) % 2 == 0
        assert recorded.names == []

    def test_a_subclass_may_make_no_span_of_a_message(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages(MIDDLEWARE=[f"{__name__}.WithoutCreateSpans"])

        with recorded.tracer.start_as_current_span("POST /orders") as request:
            attributes = publish()

        assert f"{request.get_span_context().span_id:016x}" in attributes[TRACEPARENT]
        assert TRACEPARENT not in publish()
        assert recorded.names == ["POST /orders"]

    def test_a_message_is_published_though_it_cannot_be_traced(
        self,
        trace_messages: Configure,
        recorded: Recorded,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        trace_messages()
        [middleware] = IN_USE.middleware or []
        telemetry = middleware._recorder.producing._telemetry
        monkeypatch.setattr(telemetry, "tracer", None)

        assert TRACEPARENT not in publish()
        assert "A message cannot be traced." in caplog.text

    def test_the_spans_of_a_request_are_linked_with_those_of_its_messages(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        messages = [Sent(publish(), message_id=f"id-{number}") for number in range(2)]

        OBSERVERS.note_publish_request(
            PublishRequest("projects/shop/topics/orders", [*messages, Sent()], 100.0, 0.5, None)
        )

        created = recorded.spans("create orders", 2)
        span = recorded.span("send orders")
        assert links_of(span) == [id_of(each) for each in created]
        assert [link.attributes for link in span.links] == [
            {"messaging.message.id": "id-0"},
            {"messaging.message.id": "id-1"},
        ]
        assert (parent_of(span), trace_of(span)) == (id_of(created[0]), trace_of(created[0]))
        assert (span.start_time, span.end_time) == (100_000_000_000, 100_500_000_000)


class WithoutCreateSpans(OpenTelemetryMiddleware):
    creates_spans = False


class TestHandling:
    def test_a_handler_is_a_child_of_the_messages_context(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        current: list[int] = []

        def handle(data: Any, **attributes: Any) -> None:
            current.append(get_current_span().get_span_context().span_id)
            rele.publish("invoices", {})

        with captured_messages():
            deliver(Subscription(handle, "orders"), {}, **publish())

        created, span = recorded.span("create orders"), recorded.span("process orders")
        assert (parent_of(span), links_of(span)) == (id_of(created), [id_of(created)])
        assert current == [id_of(span)]
        next_one = recorded.span("create invoices")
        assert (parent_of(next_one), trace_of(next_one)) == (id_of(span), trace_of(created))
        received = recorded.span("receive orders")
        assert (parent_of(received), links_of(received)) == (id_of(created), [id_of(created)])
        assert received.end_time == span.start_time
        assert not get_current_span().get_span_context().is_valid, "it ends with the message"

    def test_an_async_handler_is_traced_alike(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        current: list[int] = []

        async def handle(data: Any, **attributes: Any) -> None:
            await asyncio.sleep(0)
            current.append(get_current_span().get_span_context().span_id)

        deliver(Subscription(handle, "orders"), {}, **publish())

        created, span = recorded.span("create orders"), recorded.span("process orders")
        assert (parent_of(span), links_of(span)) == (id_of(created), [id_of(created)])
        assert current == [id_of(span)]

    def test_within_another_span_a_handler_is_a_child_of_that(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        """The conventions recommend no other parent then."""
        trace_messages()
        attributes = publish()

        with recorded.tracer.start_as_current_span("POST /push") as request:
            deliver(Subscription(raising(ValueError()), "orders"), {}, **attributes)

        span = recorded.span("process orders")
        assert parent_of(span) == request.get_span_context().span_id
        assert links_of(span) == [id_of(recorded.span("create orders"))]

    def test_a_message_without_a_context_begins_a_trace(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()

        for attributes in ({}, {TRACEPARENT: "nonsense"}):
            deliver(Subscription(lambda *_args, **_attributes: None, "orders"), {}, **attributes)

        for span in recorded.spans("process orders", 2):
            assert (parent_of(span), links_of(span)) == (None, [])

    def test_what_a_handler_raises_is_recorded(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()

        deliver(Subscription(raising(LookupError("no such order")), "orders"), {})

        span = recorded.span("process orders")
        [event] = span.events
        assert event.name == "exception"
        assert event.attributes is not None
        assert event.attributes["exception.type"] == "LookupError"
        assert event.attributes["exception.message"] == "no such order"
        assert "in fail" in str(event.attributes["exception.stacktrace"])
        assert (span.attributes or {})["error.type"] == "LookupError"
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "no such order"

    @pytest.mark.parametrize(
        ("raised", "shown", "is_error"),
        [
            (Retry(), {"rele.decision": "retry"}, False),
            (Retry(30), {"rele.decision": "retry", "rele.retry_delay": 30}, False),
            (Drop(), {"rele.decision": "drop"}, False),
            (DeadLetter(), {"rele.decision": "dead_letter"}, True),
            (Reject(), {"rele.decision": "reject"}, True),
        ],
    )
    def test_what_a_handler_decides_is_shown(
        self,
        trace_messages: Configure,
        recorded: Recorded,
        raised: BaseException,
        shown: dict[str, object],
        is_error: bool,
    ) -> None:
        """It is an error where nobody has handled the message, nor will."""
        trace_messages()

        deliver(Subscription(raising(raised), "orders"), {})

        span = recorded.span("process orders")
        given = span.attributes or {}
        assert {name: given[name] for name in given if name.startswith("rele.")} == shown
        assert (span.status.status_code is StatusCode.ERROR) == is_error
        assert ("error.type" in given) == is_error

    @pytest.mark.parametrize(("logs_payloads", "text"), [(True, "0xff"), (False, "UTF-8")])
    def test_payloads_are_shown_as_the_log_shows_them(
        self, trace_messages: Configure, recorded: Recorded, logs_payloads: bool, text: str
    ) -> None:
        trace_messages(LOG_PAYLOADS=logs_payloads)

        deliver(Subscription(raising(ValueError()), "orders"), b"\xffsecret")

        span = recorded.span("process orders")
        shown = str(span.events[0].attributes) + str(span.status.description)
        assert text in shown
        assert ("0xff" in shown) == logs_payloads

    def test_why_no_handler_ran_is_shown(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        never = Subscription(raising(ValueError()), "orders", filter_by=lambda **_kwargs: False)

        deliver(never, {})

        assert (recorded.span("process orders").attributes or {})["rele.skipped"] == "filtered"

    def test_what_settles_a_message_is_in_its_trace(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()

        def note(*values: Any) -> None:
            OBSERVERS.note_settlement_request(SettlementRequest(*values))

        path = "projects/shop/subscriptions/orders"
        ack_ids: list[str] = []

        @rele.sub("orders")
        def handle(data: Any, **attributes: Any) -> None:
            [middleware] = IN_USE.middleware or []
            ack_ids.extend(middleware._recorder.settling._handled)
            note(path, "modack", [Received(ack_ids[0])], 100.0, 0.1, None, 60)

        deliver(handle, {}, **publish())
        delivery = Received(ack_ids[0], "1")
        note(path, "ack", [delivery, Received("another")], 100.0, 0.5, "UNAVAILABLE: no", None)
        note(path, "ack", [delivery], 101.0, 0.5, None, None)
        note(path, "ack", [delivery], 102.0, 0.5, None, None)  # of a later delivery, not handled

        process = recorded.span("process orders")
        failed, done = recorded.spans("ack orders", 2)
        for span in (failed, done, recorded.span("modack orders")):
            assert (parent_of(span), links_of(span)) == (id_of(process), [id_of(process)])
        assert failed.status.status_code is StatusCode.ERROR
        assert done.status.status_code is StatusCode.UNSET
        assert len(recorded.spans("ack orders")) == 2


class TestSampling:
    UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

    @pytest.fixture
    def passed_on(self) -> Callable[[], list[str]]:
        """Handle a message that is not sampled; the contexts of what its handler publishes."""

        def handle(data: Any, **attributes: Any) -> None:
            rele.publish("invoices", {})

        def pass_on() -> list[str]:
            with captured_messages() as published:
                deliver(Subscription(handle, "orders"), {}, **{TRACEPARENT: self.UNSAMPLED})
            return [message.attributes[TRACEPARENT] for message in published]

        return pass_on

    @pytest.mark.parametrize("sampler", [DEFAULT_ON, ParentBased(TraceIdRatioBased(1.0))])
    def test_what_follows_from_a_message_that_is_not_sampled_is_not_either(
        self,
        monkeypatch: pytest.MonkeyPatch,
        trace_messages: Configure,
        passed_on: Callable[[], list[str]],
        sampler: Sampler,
    ) -> None:
        recorded = Recorded(monkeypatch, sampler)
        trace_messages()

        [context] = passed_on()

        assert context.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
        assert int(context[-2:], 16) % 2 == 0
        assert recorded.names == []
        [point] = recorded.points("messaging.process.duration")
        assert point.count == 1, "it is measured nevertheless"

    @pytest.mark.parametrize(
        "sampler", [ALWAYS_ON, ParentBased(ALWAYS_OFF, remote_parent_not_sampled=ALWAYS_ON)]
    )
    def test_a_sampler_may_decide_otherwise(
        self,
        monkeypatch: pytest.MonkeyPatch,
        trace_messages: Configure,
        passed_on: Callable[[], list[str]],
        sampler: Sampler,
    ) -> None:
        recorded = Recorded(monkeypatch, sampler)
        trace_messages()

        [context] = passed_on()

        assert f"{id_of(recorded.span('create invoices')):016x}" in context
        assert recorded.names == ["receive orders", "create invoices", "process orders"]


class TestBatches:
    def test_why_no_handler_ran_is_shown_for_each_message(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        sub = Subscription(
            lambda messages: None,
            "orders",
            filter_by=lambda attributes: attributes["lang"] == "es",
            batch=Batch(2),
        )

        deliver(sub, [1, 2], lang=["es", "de"])

        [event] = recorded.span("process orders").events
        assert event.name == "rele.skipped"
        assert (event.attributes or {})["rele.skipped"] == "filtered"

    def test_a_batch_has_one_span_linked_with_all_messages(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        current: list[int] = []

        def handle(messages: list[BatchMessage]) -> None:
            current.append(get_current_span().get_span_context().span_id)

        contexts = [publish()[TRACEPARENT] for _ in range(3)]
        deliver(
            Subscription(handle, "orders", batch=Batch(3)),
            [1, 2, 3],
            **{TRACEPARENT: contexts},
        )

        created = [id_of(span) for span in recorded.spans("create orders", 3)]
        span = recorded.span("process orders")
        assert (parent_of(span), links_of(span)) == (None, created)
        assert current == [id_of(span)]
        assert all("messaging.message.id" in (link.attributes or {}) for link in span.links)
        assert links_of(recorded.span("receive orders")) == created

    def test_what_has_failed_names_its_message(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()

        def handle(messages: list[BatchMessage]) -> None:
            raise PartialFailure({messages[0]: ValueError("bad"), messages[1]: Retry(5)})

        delivery = deliver(Subscription(handle, "orders", batch=Batch(3)), [1, 2, 3])

        span = recorded.span("process orders")
        decision, failure = span.events
        assert [each.acked for each in delivery.messages] == [False, False, True]
        assert (decision.name, failure.name) == ("rele.decision", "exception")
        assert decision.attributes is not None
        assert failure.attributes is not None
        assert (decision.attributes["rele.decision"], decision.attributes["rele.retry_delay"]) == (
            "retry",
            5,
        )
        assert failure.attributes["exception.message"] == "bad"
        assert failure.attributes["messaging.message.id"]
        assert span.status.status_code is StatusCode.ERROR

    def test_what_a_whole_batch_raises_is_recorded_once(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        sub = Subscription(raising(ValueError("bad")), "orders", batch=Batch(3))

        deliver(sub, [1, 2, 3])

        [event] = recorded.span("process orders").events
        assert "messaging.message.id" not in (event.attributes or {})


class TestSwitchedOff:
    @pytest.fixture
    def no_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process has no provider, as long as nobody has set one."""
        monkeypatch.setattr(trace, "get_tracer_provider", ProxyTracerProvider)
        monkeypatch.setattr(metrics, "get_meter_provider", metrics.NoOpMeterProvider)

    def test_without_a_provider_nothing_is_recorded(self, no_provider: None) -> None:
        rele.setup({"GC_PROJECT_ID": "shop", "MIDDLEWARE": [MIDDLEWARE]})

        assert publish().keys() == {"published_at"}
        assert deliver(Subscription(lambda *_args, **_kwargs: None, "orders"), {}).acked

    def test_a_provider_that_is_set_later_counts_soon(
        self,
        no_provider: None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        rele.setup({"GC_PROJECT_ID": "shop", "MIDDLEWARE": [MIDDLEWARE]})
        [middleware] = IN_USE.middleware or []

        recorded = Recorded(monkeypatch)
        assert publish().keys() == {"published_at"}, "it is looked for once a second"
        middleware._looks_at = 0.0
        publish()

        assert recorded.names == ["create orders"]

    def test_a_middleware_that_is_replaced_records_nothing_more(
        self, trace_messages: Configure, recorded: Recorded
    ) -> None:
        trace_messages()
        rele.setup({"GC_PROJECT_ID": "shop", "MIDDLEWARE": []})

        OBSERVERS.note_publish_request(
            PublishRequest("projects/shop/topics/orders", [Sent()], 1.0, 0.5, None)
        )

        assert recorded.points("messaging.client.sent.messages") == []


def test_it_knows_the_trace_of_its_caller(trace_messages: Configure, recorded: Recorded) -> None:
    trace_messages()

    assert IN_USE.trace_id() == ""
    with recorded.tracer.start_as_current_span("request") as span:
        assert IN_USE.trace_id() == f"{span.get_span_context().trace_id:032x}"


def test_a_line_of_a_handler_names_the_trace(
    trace_messages: Configure, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    trace_messages()

    def handle(data: Any, **attributes: Any) -> None:
        logging.getLogger("shop").warning("An order has arrived.")

    with caplog.filtering(MessageFilter()):
        deliver(Subscription(handle, "orders"), {}, **publish())

    [record] = [each for each in caplog.records if each.name == "shop"]
    assert vars(record)["trace_id"] == f"{trace_of(recorded.span('process orders')):032x}"


def test_a_sampler_sees_what_decides_about_a_span(
    monkeypatch: pytest.MonkeyPatch, trace_messages: Configure
) -> None:
    seen: list[dict[str, Any]] = []

    class Sampler(TraceIdRatioBased):
        def should_sample(self, *args: Any, **kwargs: Any) -> Any:
            seen.append({**args[4]})
            return super().should_sample(*args, **kwargs)

    Recorded(monkeypatch, Sampler(1.0))
    trace_messages()

    publish()

    assert seen[0]["messaging.destination.name"] == "orders"
    assert seen[0]["messaging.operation.name"] == "create"


def test_no_log_line_of_a_hook_is_left(
    trace_messages: Configure, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    trace_messages()

    with caplog.at_level(logging.WARNING, "rele.middleware"):
        deliver(Subscription(lambda *_args, **_kwargs: None, "orders"), {}, **publish())
        Callback(Subscription(lambda *_args, **_kwargs: None, "orders"))

    assert caplog.records == []
