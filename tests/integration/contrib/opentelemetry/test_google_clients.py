"""Traces go through, where Google's own client publishes or consumes with its tracing enabled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.cloud import pubsub_v1

import rele
from rele import Subscription
from tests.support.inbox import Inbox
from tests.support.telemetry import MIDDLEWARE, Recorded, id_of, links_of, parent_of, trace_of


def test_what_google_publishes_is_handled_in_its_trace(
    run_traced: Callable[..., Any], recorded: Recorded, project_id: str
) -> None:
    run_traced([Subscription(lambda *_args, **_attributes: None, "orders")])
    options = pubsub_v1.types.PublisherOptions(enable_open_telemetry_tracing=True)

    with pubsub_v1.PublisherClient(publisher_options=options) as publisher:
        publisher.publish(publisher.topic_path(project_id, "orders"), b"{}").result(10)

    created, process = recorded.span("orders create"), recorded.span("process orders")
    assert (parent_of(process), links_of(process)) == (id_of(created), [id_of(created)])
    assert trace_of(process) == trace_of(created)


def test_what_rele_publishes_is_handled_in_its_trace_by_google(
    configure: Callable[..., Any], recorded: Recorded, project_id: str
) -> None:
    configure(MIDDLEWARE=[MIDDLEWARE])
    received = Inbox()
    options = pubsub_v1.types.SubscriberOptions(enable_open_telemetry_tracing=True)
    with (
        pubsub_v1.PublisherClient() as publisher,
        pubsub_v1.SubscriberClient(subscriber_options=options) as subscriber,
    ):
        topic = publisher.topic_path(project_id, "orders")
        path = subscriber.subscription_path(project_id, "orders")
        publisher.create_topic(name=topic)
        subscriber.create_subscription(name=path, topic=topic)

        def handle(message: Any) -> None:
            received.put(message.attributes["googclient_traceparent"])
            message.ack()

        stream = subscriber.subscribe(path, callback=handle)
        try:
            rele.publish("orders", {"id": 1})

            [context] = received.wait_for(1)
            created, subscribe = recorded.span("create orders"), recorded.span("orders subscribe")
        finally:
            stream.cancel()
            stream.result(10)
    assert f"{id_of(created):016x}" in context
    assert (parent_of(subscribe), trace_of(subscribe)) == (id_of(created), trace_of(created))
    assert links_of(recorded.span("orders process")) == [id_of(created)]


@pytest.mark.both_engines
def test_googles_attribute_passes_through_either_engine(
    run_traced: Callable[..., Any], recorded: Recorded
) -> None:
    inbox = Inbox()

    def handle(data: Any, **attributes: Any) -> None:
        inbox.put(attributes)

    run_traced([Subscription(handle, "orders")])

    rele.publish("orders", 1)

    [attributes] = inbox.wait_for(1)
    assert f"{id_of(recorded.span('create orders')):016x}" in attributes["googclient_traceparent"]
