from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock, Mock, patch

import grpc
import pytest
from google.api_core.exceptions import Cancelled, RetryError, ServiceUnavailable
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1

from rele.endpoint import WITHOUT_PROXY
from rele.engine.google.clients import make_client
from rele.engine.google.transport import Transport, channel_options, harden, transport_class
from rele.engine.times import Times

CREATE_CHANNEL = "google.pubsub_v1.services.subscriber.transports.grpc.grpc_helpers.create_channel"
CREDENTIALS = AnonymousCredentials()  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """The loggers as they were, afterwards."""
    loggers = [
        logging.getLogger(name) for name in ("grpc._plugin_wrapping", "google.api_core.bidi")
    ]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize(
    "client_options",
    [
        None,
        {"api_endpoint": "europe-west1-pubsub.googleapis.com"},
        {"api_endpoint": "localhost:8443"},
        {"universe_domain": "universe.example"},
        {"quota_project_id": "who-pays"},
        {"scopes": ["https://scope.example"]},
        {"client_cert_source": lambda: (b"certificate", b"key")},
    ],
)
def test_connects_as_googles_client_does_with_options_of_its_own(
    monkeypatch: pytest.MonkeyPatch, client_options: dict[str, Any] | None
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", "true")
    monkeypatch.setattr(grpc, "ssl_channel_credentials", lambda **keywords: tuple(keywords.items()))
    with patch(CREATE_CHANNEL, return_value=MagicMock(spec=grpc.Channel)) as create_channel:
        for extra in ({}, {"transport": Transport}):
            pubsub_v1.SubscriberClient(
                credentials=CREDENTIALS, client_options=client_options, **extra
            )

    googles, ours = create_channel.call_args_list
    their_options, our_options = googles.kwargs.pop("options"), ours.kwargs.pop("options")
    assert ours == googles
    assert our_options == [*their_options, *channel_options(Times())]


def test_under_the_emulator_the_connection_has_the_same_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    with patch("grpc.insecure_channel", side_effect=grpc.insecure_channel) as insecure_channel:
        client = make_client(pubsub_v1.SubscriberClient, transport=Transport)

    insecure_channel.assert_called_once_with(
        "127.0.0.1:1", [*channel_options(Times()), WITHOUT_PROXY]
    )
    client.close()


def test_the_times_of_a_transport_are_those_of_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    times = Times(keepalive=1.0, keepalive_timeout=0.5)
    with patch("grpc.insecure_channel", side_effect=grpc.insecure_channel) as insecure_channel:
        client = make_client(pubsub_v1.SubscriberClient, transport=transport_class(times))

    options = dict(insecure_channel.call_args.args[1])
    assert options["grpc.keepalive_time_ms"] == 1000
    assert options["grpc.keepalive_timeout_ms"] == 500
    client.close()


def test_what_hardens_a_client_gives_its_channel_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    with make_client(pubsub_v1.SubscriberClient, transport=Transport) as client:
        assert harden(client) is client.transport.channel_watch


def test_a_stand_in_of_a_test_is_left_alone() -> None:
    client = Mock()
    acknowledge = client.acknowledge

    assert harden(client) is None
    assert client.acknowledge is acknowledge


@pytest.mark.parametrize("method", ["acknowledge", "modify_ack_deadline"])
def test_settling_in_vain_raises_the_cause_and_not_that_it_took_long(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    error = RetryError("after 60 s", ServiceUnavailable("no token"))
    with make_client(pubsub_v1.SubscriberClient, transport=Transport) as client:
        with patch.object(pubsub_v1.SubscriberClient, method, side_effect=error):
            harden(client)
            with pytest.raises(ServiceUnavailable, match="no token"):
                getattr(client, method)(subscription="photos", ack_ids=["1"])


def test_settling_by_a_closed_connection_raises_an_error_of_google(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    client = make_client(pubsub_v1.SubscriberClient, transport=Transport)
    harden(client)
    client.close()

    with pytest.raises(Cancelled, match="closed channel"):
        client.acknowledge(subscription="photos", ack_ids=["1"])


def test_loggers_below_are_quiet_unless_somebody_has_set_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    logging.getLogger("grpc._plugin_wrapping").setLevel(logging.NOTSET)
    logging.getLogger("google.api_core.bidi").setLevel(logging.DEBUG)
    with make_client(pubsub_v1.SubscriberClient, transport=Transport) as client:
        harden(client)

    assert logging.getLogger("grpc._plugin_wrapping").level == logging.CRITICAL
    assert logging.getLogger("google.api_core.bidi").level == logging.DEBUG
