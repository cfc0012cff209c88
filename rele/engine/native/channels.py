"""The connections of the publisher, as Google's client would make them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from google.api_core.universe import compare_domains
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from rele.engine.connection import Connection
from rele.engine.native.grpc_threads import abandon, finish_call, waited_for

logger = logging.getLogger(__name__)

_METHOD = "/google.pubsub.v1.Publisher/Publish"

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A connection of its own: gRPC would share one with an equal channel, whose streams count.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # gRPC 1.85 uses the longer of these two; the default of this one is 60 s.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Despite its name, this is the timeout of an attempt to connect.
    ("grpc.min_reconnect_backoff_ms", 5_000),
)
"""A connection that notices an outage within 15 s, and its end within a second or two."""


class Transport(PublisherGrpcTransport):
    """Google's transport (credentials, TLS, endpoints), which opens no channel itself."""

    @classmethod
    def own_channel_options(cls) -> list[tuple[str, Any]]:
        """The gRPC options of its channels, beside those of Google's transport."""
        return list(CHANNEL_OPTIONS)

    @classmethod
    def create_channel(  # type: ignore[override]
        cls, host: str, *args: Any, options: Any = (), **kwargs: Any
    ) -> UnopenedChannel:
        options = [*options, *cls.own_channel_options()]
        return UnopenedChannel(
            partial(super().create_channel, host, *args, options=options, **kwargs)
        )

    @classmethod
    def insecure_channel(cls, address: str, options: Any) -> UnopenedChannel:
        """A channel to an emulator."""
        return UnopenedChannel(partial(grpc.insecure_channel, address, options))


class UnopenedChannel(grpc.Channel):
    """A channel as Google's client has described it, which can be opened more than once.

    gRPC starts threads when a channel is opened.

    Args:
        open_channel: opens the channel.
    """

    def __init__(self, open_channel: Callable[[], Any]) -> None:
        self.open = open_channel

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """Google's transport prepares the calls of all methods; none is made."""
        return _make_no_call

    unary_stream = stream_unary = stream_stream = unary_unary
    subscribe = unsubscribe = close = __exit__ = unary_unary

    def __enter__(self) -> Any:
        return self


def _make_no_call(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("This channel is not open.")


class Channel:
    """One open connection, with the number of calls that are under way on it."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.publish = channel.unary_unary(_METHOD)
        self.under_way = 0
        self.is_replaced = False
        self._is_broken = False

    @property
    def is_quiet(self) -> bool:
        """Whether none of gRPC's threads waits for a call of it; any thread may ask."""
        return waited_for(self._channel, self.under_way) == 0

    def close_if_idle(self) -> None:
        """Close a connection that was replaced, when its last call has ended."""
        if self.is_replaced and not self.under_way:
            self.close()

    def close(self) -> None:
        if not self._is_broken:
            self._channel.close()

    def finish_call(self, error: Exception) -> Callable[[], bytes] | None:
        """Wait for a call whose beginning has raised ``error``; return its result, if known."""
        try:
            return finish_call(self._channel, error)
        except Exception:
            logger.debug("gRPC's call could not be finished here.", exc_info=True)
            return None

    def abandon(self) -> None:
        """Do not use or close it any more: gRPC has no thread for it."""
        self._is_broken = True
        abandon(self._channel)


def describe_channel(connection: Connection) -> Callable[[], Channel]:
    """Return a function that opens a new channel to Pub/Sub.

    Raises:
        NoCredentialsError: no credentials are given, and Google's libraries find none.
    """
    # Google's client knows where to connect, and with which credentials, from the options.
    client = connection.make_client(PublisherClient, transport=Transport)
    if connection.credentials is not None:
        compare_domains(client.universe_domain, connection.credentials)
    unopened: UnopenedChannel = client.transport.grpc_channel
    return lambda: Channel(unopened.open())
