"""A connection to Pub/Sub that survives outages of the server."""

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
from rele.engine.google.observing import observe_settling
from rele.engine.times import Times

_WAITING_METHODS = ("StreamingPull", "Acknowledge", "ModifyAckDeadline")
"""Methods whose calls wait for a connection; the calls of others fail at once without one.

Otherwise Google's client opens a failed stream five times within 10 s and then sleeps, and even its
shutdown cannot interrupt that. If acknowledging fails for 60 s, the client ends the stream.
"""

_OPENED_AGAIN = frozenset(
    (
        *("ABORTED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAVAILABLE"),
        "UNKNOWN",
    )
)
"""The error codes after which Google's client silently reopens a stream.

Any other code ends the client's stream with an error, which ``RestartingStream`` reports.
"""


def channel_options(times: Times) -> list[tuple[str, Any]]:
    """The gRPC options of a connection that notices an outage, and reconnects soon after it."""
    methods = [{"service": "google.pubsub.v1.Subscriber", "method": m} for m in _WAITING_METHODS]
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_metadata_size", 4 * 1024 * 1024),
        ("grpc.keepalive_time_ms", _milliseconds(times.keepalive)),
        ("grpc.keepalive_timeout_ms", _milliseconds(times.keepalive_timeout)),
        # gRPC 1.85 uses the longer of these two; the default of this one is 60 s.
        ("grpc.http2.ping_timeout_ms", _milliseconds(times.keepalive_timeout)),
        # By default gRPC sends only two pings without data, and an idle stream has no data.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_reconnect_backoff_ms", _milliseconds(times.longest_reconnect_pause)),
        # Despite its name, this is the timeout of an attempt to connect.
        ("grpc.min_reconnect_backoff_ms", _milliseconds(times.connect_timeout)),
        (
            "grpc.service_config",
            json.dumps({"methodConfig": [{"name": methods, "waitForReady": True}]}),
        ),
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


class Transport(SubscriberGrpcTransport):
    """The transport of Google's subscriber client, with the channel options of this module.

    Give it to ``make_client`` as ``transport``. Its ``channel_watch`` knows whether the server
    answers.

    Args:
        host: the server's address.
        channel: a connection with :func:`channel_options`, or a function that makes a connection
            with the options that it is given.
        arguments: further arguments of Google's transport.
    """

    times = Times()
    """The durations after which the connection counts as lost."""

    @classmethod
    def own_channel_options(cls) -> list[tuple[str, Any]]:
        """The gRPC options of its channels, beside those of Google's transport."""
        return channel_options(cls.times)

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
    """Reports each stream that has ended with an error to the channel watch."""

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
    """The subclass of :class:`Transport` that uses ``times``."""
    return type("Transport", (Transport,), {"times": times})


def harden(client: Any) -> ChannelWatch | None:
    """Prepare a client with a :class:`Transport` for outages; return its channel watch.

    Returns ``None`` for a stand-in of a test.
    """
    if not isinstance(client.transport, Transport):
        return None
    _quiet_loggers()
    for name in ("acknowledge", "modify_ack_deadline"):
        setattr(client, name, _raising_the_cause(observe_settling(getattr(client, name))))
    return client.transport.channel_watch


def _raising_the_cause(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a call that fails for 60 s, or on a closed connection, raise an error that is harmless.

    After a RetryError Google's client ends the stream, and its threads end with a traceback; after
    a ValueError it logs a traceback. It ignores the other errors of these methods, because the
    messages are redelivered.
    """

    @wraps(method)
    def settle(*arguments: Any, **keywords: Any) -> Any:
        try:
            return method(*arguments, **keywords)
        except RetryError as error:
            raise error.cause from error
        except ValueError as error:  # from gRPC, if the channel is closed
            raise Cancelled(str(error)) from error  # type: ignore[no-untyped-call]

    return settle


def _quiet_loggers() -> None:
    """Silence the loggers of gRPC and Google's client about outages that Relé logs itself.

    gRPC logs a traceback at ERROR for each call without credentials. Google's client logs a line at
    WARNING for each stream that takes longer than a second to end, and at ERROR why a thread has
    ended. A level that the project has set is not changed.
    """
    for name, level in (
        ("grpc._plugin_wrapping", logging.CRITICAL),
        ("google.api_core.bidi", logging.ERROR),
    ):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
