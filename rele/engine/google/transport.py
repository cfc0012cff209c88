"""A connection to Pub/Sub that outlives what its server does."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import grpc
from google.api_core.exceptions import Cancelled, RetryError
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from rele.engine.google.channel_watch import ChannelWatch
from rele.engine.times import Times

_WAITING_METHODS = ("StreamingPull", "Acknowledge", "ModifyAckDeadline")
"""Methods whose calls wait for a connection, where others fail at once without one.

Google's client would open a failed stream five times within 10 s and then sleep in a way that
nothing ends, not even its shutdown; and where acknowledging fails for 60 s it ends the stream.
"""

_OPENED_AGAIN = frozenset(
    (
        *("ABORTED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE"),
        "UNKNOWN",
    )
)
"""Codes of streams that Google's client opens again by itself, in silence.

All others end its stream by the server's answer, which whoever keeps the stream reports.
"""


def channel_options(times: Times) -> list[tuple[str, Any]]:
    """The gRPC options of a connection that is closed late and reopened soon."""
    methods = [{"service": "google.pubsub.v1.Subscriber", "method": m} for m in _WAITING_METHODS]
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_metadata_size", 4 * 1024 * 1024),
        ("grpc.keepalive_time_ms", _milliseconds(times.keepalive)),
        ("grpc.keepalive_timeout_ms", _milliseconds(times.keepalive_timeout)),
        # gRPC 1.85 takes the longer of the two; this one is 60 s by default.
        ("grpc.http2.ping_timeout_ms", _milliseconds(times.keepalive_timeout)),
        # By default a third ping waits for data, which an idle stream does not send.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_reconnect_backoff_ms", _milliseconds(times.longest_reconnect_pause)),
        # Despite its name this is the time that an attempt may take.
        ("grpc.min_reconnect_backoff_ms", _milliseconds(times.connect_timeout)),
        (
            "grpc.service_config",
            json.dumps({"methodConfig": [{"name": methods, "waitForReady": True}]}),
        ),
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


class Transport(SubscriberGrpcTransport):
    """How Google's subscriber client reaches Pub/Sub: its own way, with options of ours.

    To be given to ``make_client`` as ``transport``. ``channel_watch`` knows whether the server
    answers.

    Args:
        host: the server's address.
        channel: the connection, with :func:`channel_options`; or what makes one, to which they are
            given.
        arguments: of Google's transport.
    """

    times = Times()
    """By which it is decided that the connection is lost."""

    def __init__(
        self,
        *,
        host: str,
        channel: grpc.Channel | Callable[..., grpc.Channel] | None = None,
        **arguments: Any,
    ) -> None:
        self.channel_watch = ChannelWatch(host, self.times)
        if isinstance(channel, grpc.Channel):
            super().__init__(host=host, channel=self._observed(channel), **arguments)
        else:
            connect = channel or type(self).create_channel
            super().__init__(host=host, channel=partial(self._connect, connect), **arguments)

    def _connect(
        self,
        connect: Callable[..., grpc.Channel],
        host: str,
        *,
        options: Any = (),
        **arguments: Any,
    ) -> grpc.Channel:
        options = [*options, *channel_options(self.times)]
        return self._observed(connect(host, options=options, **arguments))

    def _observed(self, channel: grpc.Channel) -> grpc.Channel:
        self.channel_watch.watch(channel)
        return grpc.intercept_channel(channel, _StreamObserver(self.channel_watch))


class _StreamObserver(grpc.StreamStreamClientInterceptor):
    """Notes each stream that has ended by an error."""

    def __init__(self, channel_watch: ChannelWatch) -> None:
        self._channel_watch = channel_watch

    def intercept_stream_stream(
        self, continuation: Callable[..., Any], details: Any, requests: Iterator[Any]
    ) -> Any:
        call = continuation(details, requests)
        call.add_done_callback(partial(self._note_end, time.monotonic()))
        return call

    def _note_end(self, opened_at: float, call: Any) -> None:
        code = call.code().name
        if code in _OPENED_AGAIN:
            self._channel_watch.note_failure(
                time.monotonic() - opened_at, call.details() or f"{code}, without a text"
            )


def transport_class(times: Times) -> type[Transport]:
    """The :class:`Transport` that decides by these times."""
    return type("Transport", (Transport,), {"times": times})


def harden(client: Any) -> ChannelWatch | None:
    """Prepare a client with our :class:`Transport` for outages; return what notices them.

    ``None`` for what a test has put in the client's place.
    """
    if not isinstance(client.transport, Transport):
        return None
    _quiet_loggers()
    for name in ("acknowledge", "modify_ack_deadline"):
        setattr(client, name, _raising_the_cause(getattr(client, name)))
    return client.transport.channel_watch


def _raising_the_cause(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let what did not get through within 60 s, or before the connection was closed, be lost.

    Google's client takes any other error of these methods for one that happens, since the
    message is redelivered. At a RetryError it ends the stream, and threads of it end with a
    traceback; at a ValueError it logs one.
    """

    @wraps(method)
    def settle(*arguments: Any, **keywords: Any) -> Any:
        try:
            return method(*arguments, **keywords)
        except RetryError as error:
            raise error.cause from error
        except ValueError as error:  # gRPC's, of a channel that is closed
            raise Cancelled(str(error)) from error  # type: ignore[no-untyped-call]

    return settle


def _quiet_loggers() -> None:
    """Keep what is logged here about an outage from being logged many times below.

    gRPC logs a traceback for each call without credentials, at ERROR; Google's client a line for
    each stream that takes longer than a second to end, at WARNING, and at ERROR why a thread of it
    has ended. A level that somebody has set stays.
    """
    for name, level in (
        ("grpc._plugin_wrapping", logging.CRITICAL),
        ("google.api_core.bidi", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
