"""What waits at the server: asked of the embedded server, and of Cloud Monitoring's own API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.cloud import monitoring_v3, pubsub_v1
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcTransport,
)

from rele.config import Config
from rele.engine.connection import Connection
from rele.project.backlogs import backlog_provider, problems_of_backlog
from rele.resources.backlogs import (
    BacklogError,
    EmbeddedBacklogs,
    MonitoringBacklogs,
    monitoring_client,
)
from rele.status.providers import Status
from rele.status.replies import Replies
from rele.status.snapshot import Backlog, Contribution, Phase, SubscriptionStatus
from rele.subscription import Subscription
from tests.support.polling import wait_until
from tests.support.stub_servers import SilentServer

NOW = 1_700_000_000


def work(data: Any, **kwargs: Any) -> None: ...


@pytest.fixture
def jobs(embedded_server: str, project_id: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a subscription with three messages, one of which is leased."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    topic, path = f"projects/{project_id}/topics/jobs", f"projects/{project_id}/subscriptions/jobs"
    with pubsub_v1.PublisherClient() as publisher, pubsub_v1.SubscriberClient() as subscriber:
        publisher.create_topic(request={"name": topic})
        subscriber.create_subscription(request={"name": path, "topic": topic})
        for number in range(3):
            publisher.publish(topic, str(number).encode()).result(30)
        subscriber.pull(request={"subscription": path, "max_messages": 1})
    return path


class TestTheEmbeddedServer:
    def test_says_what_is_not_acked(self, embedded_server: str, jobs: str) -> None:
        found = EmbeddedBacklogs(embedded_server)([jobs, f"{jobs}-that-is-not-there"])

        assert found.keys() == {jobs}
        assert found[jobs].messages == 3
        assert 0 < (found[jobs].oldest_seconds or 0) < 60

    def test_is_asked_by_a_worker_while_somebody_looks(self, project_id: str, jobs: str) -> None:
        subscription = Subscription(work, "jobs")
        assert subscription.name == "jobs"
        provider = backlog_provider(Config({"GC_PROJECT_ID": project_id}), [subscription])
        assert provider is not None

        wait_until(lambda: provider().backlogs != {}, 30)

        assert provider().backlogs["jobs"].messages == 3

    def test_is_not_asked_again_if_it_is_another_server(self) -> None:
        with Unserving().listening() as server:
            backlogs = EmbeddedBacklogs(server.address)

            assert backlogs(["projects/p/subscriptions/jobs"]) == {}
            assert backlogs(["projects/p/subscriptions/jobs"]) == {}

            assert server.calls.items == ["Get"]

    def test_that_cannot_be_asked_is_an_error_and_not_zero(self) -> None:
        reason = r"the Pub/Sub server at 127.0.0.1:\d+ does not say it \(\w+: "
        with SilentServer().listening() as server, pytest.raises(BacklogError, match=reason):
            EmbeddedBacklogs(server.address)(["projects/p/subscriptions/jobs"])


class Unserving(SilentServer):
    """As Google's emulator, which has no such service."""

    def answer(self, method: str, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.calls.put(method)
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found")


def test_nobody_knows_the_backlog_without_an_emulator_and_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)

    assert backlog_provider(Config({}), []) is None
    assert backlog_provider(Config({"BACKLOG": "monitoring"}), []) is not None


class Metrics(grpc.GenericRpcHandler):
    """Cloud Monitoring's ListTimeSeries, on the wire, over figures by metric and subscription.

    Of each figure there is an older one, too. A page has one series.
    """

    def __init__(self, figures: dict[str, dict[str, int]] | None) -> None:
        self.figures = figures
        """``None``: the account may not see any."""
        self.requests: list[Any] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != "/google.monitoring.v3.MetricService/ListTimeSeries":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._list,
            request_deserializer=monitoring_v3.ListTimeSeriesRequest.deserialize,
            response_serializer=monitoring_v3.ListTimeSeriesResponse.serialize,
        )

    def _list(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        if self.figures is None:
            denied = "Permission monitoring.timeSeries.list denied\n(or it may not exist)."
            context.abort(grpc.StatusCode.PERMISSION_DENIED, denied)
        [metric] = [name for name in self.figures if f'/subscription/{name}"' in request.filter]
        matching = sorted(
            (name, value)
            for name, value in self.figures[metric].items()
            if f'"{name}"' in request.filter
        )
        page = int(request.page_token or 0)
        return {
            "time_series": [
                {
                    "resource": {
                        "type": "pubsub_subscription",
                        "labels": {"project_id": "shop", "subscription_id": name},
                    },
                    "points": [{"value": {"int64_value": each}} for each in (value, 999)],
                }
                for name, value in matching[page : page + 1]
            ],
            "next_page_token": str(page + 1) if page + 1 < len(matching) else "",
        }


@contextmanager
def monitoring(
    figures: dict[str, dict[str, int]] | None,
) -> Iterator[tuple[Metrics, MonitoringBacklogs]]:
    metrics = Metrics(figures)
    server = grpc.server(ThreadPoolExecutor(2), handlers=[metrics])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        client = monitoring_v3.MetricServiceClient(
            transport=MetricServiceGrpcTransport(channel=channel)
        )
        yield metrics, MonitoringBacklogs("shop", client, now=lambda: NOW)
    server.stop(grace=None).wait()


def path(name: str) -> str:
    return f"projects/shop/subscriptions/{name}"


class TestCloudMonitoring:
    def test_says_what_is_not_acked_and_for_how_long(self) -> None:
        figures = {
            "num_undelivered_messages": {"orders": 7, "refunds": 0, "elsewhere": 3},
            "oldest_unacked_message_age": {"orders": 61, "refunds": 0, "elsewhere": 5},
        }
        with monitoring(figures) as (metrics, backlogs):
            found = backlogs([path("orders"), path("refunds"), path("not-seen")])

        assert found == {path("orders"): Backlog(7, 61.0), path("refunds"): Backlog(0)}
        [first, *_] = metrics.requests
        assert first.name == "projects/shop"
        assert first.interval.end_time.timestamp() == NOW
        assert first.interval.start_time.timestamp() == NOW - 600
        assert not first.aggregation, "the figures themselves, of which the newest counts"
        assert first.filter == (
            'metric.type = "pubsub.googleapis.com/subscription/num_undelivered_messages" AND '
            'resource.type = "pubsub_subscription" AND '
            'resource.labels.subscription_id = one_of("not-seen", "orders", "refunds")'
        )

    def test_is_asked_for_many_subscriptions_a_part_at_a_time(self) -> None:
        names = [f"s-{number:03}" for number in range(120)]
        figures = {
            "num_undelivered_messages": dict.fromkeys(names[:1] + names[-1:], 1),
            "oldest_unacked_message_age": {},
        }
        with monitoring(figures) as (metrics, backlogs):
            found = backlogs([path(name) for name in names])

        assert found == {path("s-000"): Backlog(1), path("s-119"): Backlog(1)}
        assert max(each.filter.count('"s-') for each in metrics.requests) == 50

    def test_that_refuses_is_one_clear_line_and_the_backlog_is_unknown(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
        monkeypatch.setattr("rele.config.get_google_defaults", lambda: (None, "shop"))
        settings = {"GC_PROJECT_ID": "shop", "BACKLOG": "monitoring"}
        orders = SubscriptionStatus("orders", "orders", 2, streams=1)
        with monitoring(None) as (metrics, backlogs):
            client = backlogs._client
            monkeypatch.setattr("rele.resources.backlogs.monitoring_client", lambda _: client)
            provider = backlog_provider(Config(settings), [Subscription(work, "orders")])
            assert provider is not None
            status = Status()
            status.add(provider)
            status.add(lambda: Contribution(phase=Phase.CONSUMING, subscriptions=(orders,)))
            status.snapshot()
            wait_until(lambda: caplog.records, 30)
            reply = Replies(lambda: [status.snapshot()], lambda: None, time.monotonic).reply(
                "/readyz"
            )

        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == (
            "The backlog is not known: Cloud Monitoring refuses it (Permission "
            "monitoring.timeSeries.list denied (or it may not exist)). Grant the worker's account "
            "roles/monitoring.viewer on the project shop, and enable the API "
            "monitoring.googleapis.com there."
        )
        assert reply.body.decode() == "ready\nbacklog unknown: orders\n"
        assert len(metrics.requests) == 1

    def test_is_reached_with_the_account_of_the_worker_and_not_at_pubsubs_endpoint(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
        from google.auth.credentials import AnonymousCredentials

        client = monitoring_client(
            Connection(
                "shop",
                AnonymousCredentials(),  # type: ignore[no-untyped-call]
                {"api_endpoint": "europe-west1-pubsub.googleapis.com"},
            )
        )

        assert client.api_endpoint == "monitoring.googleapis.com"

    def test_needs_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert list(problems_of_backlog("BACKLOG", "monitoring")) == []
        assert list(problems_of_backlog("BACKLOG", None)) == []

        monkeypatch.setattr("rele.project.backlogs._is_installed", lambda module: False)
        [problem] = problems_of_backlog("BACKLOG", "monitoring")

        assert "pip install 'rele[monitoring]'" in str(problem)
