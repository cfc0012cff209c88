"""The gRPC calls of the publisher, and the connection under them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.api_core.exceptions import from_grpc_error
from google.api_core.gapic_v1.client_info import ClientInfo
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.api_core.universe import compare_domains
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from rele._version import __version__
from rele.engine.connection import Connection
from rele.engine.native import wire
from rele.engine.native.lanes import Request
from rele.engine.native.retrying import Failure, Kind
from rele.engine.refusals import explain

logger = logging.getLogger(__name__)

_CLIENT: tuple[str, str] = ClientInfo(  # type: ignore[no-untyped-call]
    user_agent=f"rele/{__version__}"
).to_grpc_metadata()
_METHOD = "/google.pubsub.v1.Publisher/Publish"

_PASSING = frozenset(
    (
        *(grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED),
        *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN),
    )
)
_KINDS = {
    **dict.fromkeys(_PASSING, Kind.PASSING),
    grpc.StatusCode.RESOURCE_EXHAUSTED: Kind.EXHAUSTED,
    grpc.StatusCode.INVALID_ARGUMENT: Kind.INVALID,
}
"""What a status means; every other is final."""

_LONGEST_CALL_HERE = 15.0
"""Seconds of a call for which gRPC could start no thread: it delays all others."""

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
    """Google's transport (credentials, TLS, endpoints), over a channel with our options."""

    @classmethod
    def own_channel_options(cls) -> list[tuple[str, Any]]:
        """The gRPC options of its channels, beside those of Google's transport."""
        return list(CHANNEL_OPTIONS)

    @classmethod
    def create_channel(  # type: ignore[override]
        cls, host: str, *args: Any, options: Any = (), **kwargs: Any
    ) -> Any:
        options = [*options, *cls.own_channel_options()]
        return super().create_channel(host, *args, options=options, **kwargs)


class Channel:
    """One connection, with the number of calls that are under way on it."""

    def __init__(self, connection: Connection) -> None:
        # Google's client knows where to connect, and with which credentials, from the options.
        client = connection.make_client(PublisherClient, transport=Transport)
        if connection.credentials is not None:
            compare_domains(client.universe_domain, connection.credentials)
        self._channel = client.transport.grpc_channel
        self.publish = self._channel.unary_unary(_METHOD)
        self.under_way = 0
        self.is_replaced = False

    def close_if_idle(self) -> None:
        """Close a connection that was replaced, when its last call has ended."""
        if self.is_replaced and not self.under_way:
            self._channel.close()

    def close(self) -> None:
        self._channel.close()


@dataclass(frozen=True)
class Ended:
    """A request whose call has ended."""

    request: Request
    result: Callable[[], bytes]
    """Returns the response, or raises the error of the call."""
    channel: Channel


class Calls:
    """Sends requests without waiting for the answers. One thread uses it.

    Args:
        connection: where to.
        project_id: the Google Cloud project.
        compression: bytes from which a request is compressed; ``None`` if none is.

    Raises:
        NoCredentialsError: no credentials are given, and Google's libraries find none.
    """

    def __init__(self, connection: Connection, project_id: str, compression: int | None) -> None:
        self._connection = connection
        self._project_id = project_id
        self._compression = compression
        self._channel = Channel(connection)

    def start(self, request: Request, when_ended: Callable[[Ended], object]) -> None:
        """Begin to send ``request``; ``when_ended`` is called in a thread of gRPC."""
        channel = self._channel
        body = wire.request(self._path(request), [each.field for each in request.messages])
        try:
            call = channel.publish.future(
                body,
                timeout=request.timeout,
                wait_for_ready=request.waits_for_connection,
                **self._options(request, body),
            )
        except Exception as error:  # noqa: BLE001 - the thread goes on with the other requests
            self._start_without_thread(request, body, error, when_ended)
            return
        channel.under_way += 1
        call.add_done_callback(partial(_end, when_ended, request, channel))

    def answer(self, ended: Ended) -> Sequence[str] | Failure:
        """The message ids for a request, or why it failed."""
        ended.channel.under_way -= 1
        ended.channel.close_if_idle()
        try:
            ids = wire.message_ids(ended.result())
        except grpc.RpcError as error:
            return self._failure(ended, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request was not accepted
            return Failure(Kind.PASSING, error)
        if len(ids) != len(ended.request.messages):
            return Failure(Kind.FINAL, _wrong_number(len(ids), len(ended.request.messages)))
        return ids

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _path(self, request: Request) -> str:
        return f"projects/{self._project_id}/topics/{request.topic}"

    def _options(self, request: Request, body: bytes) -> dict[str, Any]:
        compress = self._compression is not None and len(body) >= self._compression
        topic: Any = to_grpc_metadata(  # type: ignore[no-untyped-call]
            (("topic", self._path(request)),)
        )
        return {
            "metadata": (_CLIENT, topic),
            "compression": grpc.Compression.Gzip if compress else None,
        }

    def _start_without_thread(
        self,
        request: Request,
        body: bytes,
        error: Exception,
        when_ended: Callable[[Ended], object],
    ) -> None:
        """Send ``request`` in this thread, since gRPC could not start its own.

        gRPC (1.85) does not try again to start the thread that failed, so that later calls of that
        channel would never end.
        """
        logger.debug("gRPC could not begin a call (%r); it is made in this thread.", error)
        self._replace(self._channel)
        channel = self._channel
        timeout = min(request.timeout, _LONGEST_CALL_HERE)
        channel.under_way += 1
        outcome: Future[bytes] = Future()
        try:
            outcome.set_result(
                channel.publish(body, timeout=timeout, **self._options(request, body))
            )
        except Exception as failure:  # noqa: BLE001 - it is the outcome
            outcome.set_exception(failure)
        when_ended(Ended(request, outcome.result, channel))

    def _failure(self, ended: Ended, error: Any) -> Failure:
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._replace(ended.channel)
        google_error = from_grpc_error(error)  # type: ignore[no-untyped-call]
        explained = explain(google_error, self._path(ended.request), self._connection.address)
        return Failure(_KINDS.get(code, Kind.FINAL), explained)

    def _replace(self, channel: Channel) -> None:
        """Use a new connection from now on, unless ``channel`` was replaced before."""
        if channel.is_replaced:
            return
        try:
            replacement = Channel(self._connection)
        except Exception:
            logger.exception("The connection to Pub/Sub could not be replaced; it is kept.")
            return
        channel.is_replaced = True
        self._channel = replacement
        channel.close_if_idle()


def _end(
    when_ended: Callable[[Ended], object], request: Request, channel: Channel, call: Any
) -> None:
    when_ended(Ended(request, call.result, channel))


def _wrong_number(ids: int, messages: int) -> Exception:
    return RuntimeError(
        f"Pub/Sub answered a request with {messages} message(s) by {ids} message id(s): it is not "
        "known which messages it has accepted."
    )
