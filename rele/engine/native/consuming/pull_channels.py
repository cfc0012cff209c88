"""The connections of consumers, as Google's client would make them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import (
    SubscriberGrpcAsyncIOTransport,
    SubscriberGrpcTransport,
)

from rele.engine.connection import Connection
from rele.engine.native.channels import CHANNEL_OPTIONS, UnopenedChannel
from rele.engine.times import Times


class PullTransport(SubscriberGrpcTransport):
    """Google's transport (credentials, TLS, endpoints), which opens no channel itself."""

    times = Times()

    @classmethod
    def own_channel_options(cls) -> list[tuple[str, Any]]:
        """The gRPC options of its channels, beside those of Google's transport."""
        timeout = int(cls.times.keepalive_timeout * 1000)
        of_streams = {
            # A stream may be idle for long: servers close connections that ping more often.
            "grpc.keepalive_time_ms": int(cls.times.keepalive * 1000),
            "grpc.keepalive_timeout_ms": timeout,
            "grpc.http2.ping_timeout_ms": timeout,
            # By default gRPC sends only two pings without data, and an idle stream has no data.
            "grpc.http2.max_pings_without_data": 0,
        }
        return list({**dict(CHANNEL_OPTIONS), **of_streams}.items())

    @classmethod
    def create_channel(  # type: ignore[override]
        cls, host: str, *args: Any, options: Any = (), **kwargs: Any
    ) -> UnopenedChannel:
        options = [*options, *cls.own_channel_options()]
        create = SubscriberGrpcAsyncIOTransport.create_channel
        return UnopenedChannel(partial(create, host, *args, options=options, **kwargs))

    @classmethod
    def insecure_channel(cls, address: str, options: Any) -> UnopenedChannel:
        """A channel to an emulator."""
        return UnopenedChannel(partial(grpc.aio.insecure_channel, address, options))


def describe_pull_channel(connection: Connection, times: Times | None = None) -> Callable[[], Any]:
    """Return a function that opens a new asyncio channel to Pub/Sub.

    Args:
        connection: where Pub/Sub is, and with which credentials.
        times: the durations that it uses; tests shorten them.

    Raises:
        NoCredentialsError: no credentials are given, and Google's libraries find none.
    """
    transport = type("PullTransport", (PullTransport,), {"times": times or Times()})
    client = connection.make_client(SubscriberClient, transport=transport)
    open_channel: Callable[[], Any] = client.transport.grpc_channel.open
    return open_channel
