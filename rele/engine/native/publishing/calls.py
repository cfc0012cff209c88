"""The gRPC calls of the publisher."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import grpc
from google.api_core.exceptions import from_grpc_error
from google.api_core.gapic_v1.client_info import ClientInfo
from google.api_core.gapic_v1.routing_header import to_grpc_metadata

from rele._version import __version__
from rele.engine.connection import Connection
from rele.engine.native import forking
from rele.engine.native.channels import Channel, describe_channel
from rele.engine.native.forking import gate
from rele.engine.native.grpc_threads import (
    can_open_first_channel,
    can_start_threads,
    may_lack_threads,
)
from rele.engine.native.publishing import wire
from rele.engine.native.publishing.lanes import Request
from rele.engine.native.publishing.observing import note_answer
from rele.engine.native.publishing.retrying import Failure, Kind
from rele.engine.refusals import explain
from rele.exceptions import ConfigurationError, ThreadStartError
from rele.status.observers import OBSERVERS

logger = logging.getLogger(__name__)

_CLIENT: tuple[str, str] = ClientInfo(  # type: ignore[no-untyped-call]
    user_agent=f"rele/{__version__}"
).to_grpc_metadata()

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
"""What a status means; every other status is final."""

_LONGEST_CALL_HERE = 15.0
"""Seconds of a call for which gRPC can start no thread: it delays all others meanwhile."""


@dataclass(frozen=True)
class Ended:
    """A request whose call has ended."""

    request: Request
    result: Callable[[], bytes]
    """Returns the response, or raises the error of the call."""
    channel: Channel | None
    """``None`` if none could be opened."""


class UnderWay(NamedTuple):
    """A request whose call has not ended."""

    request: Request
    channel: Channel
    call: Any
    began: float
    """By ``time.monotonic()``."""


class Calls:
    """Sends requests without waiting for the answers. One thread uses it, and connects there.

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
        self._open = describe_channel(connection)
        self._channel: Channel | None = None
        self._lacks_threads = False
        """Whether gRPC could not start a thread when it was last needed."""
        self._under_way: dict[int, UnderWay] = {}
        """What has not ended, by the identity of its request."""
        gate.watch(self)

    def start(self, request: Request, when_ended: Callable[[Ended], object]) -> None:
        """Begin to send ``request``; ``when_ended`` is called, mostly in a thread of gRPC."""
        try:
            channel = self._channel = self._channel or self._open_first()
        except Exception as error:  # noqa: BLE001 - it is the outcome of the call
            when_ended(Ended(request, partial(_raise, error), None))
            return
        body = wire.request(self._path(request), [each.field for each in request.messages])
        if self._must_call_here(channel):
            self._call_here(channel, request, body, when_ended)
            return
        try:
            with gate.passed():
                call = channel.publish.future(
                    body,
                    timeout=request.timeout,
                    wait_for_ready=request.waits_for_connection,
                    **self._options(request, body),
                )
                self._under_way[id(request)] = UnderWay(request, channel, call, time.monotonic())
        except Exception as error:  # noqa: BLE001 - the thread goes on with the other requests
            logger.debug(
                "gRPC could not begin a call (%r); it is waited for in this thread.", error
            )
            self._lacks_threads = True
            self._go_on_here(channel, request, body, error, when_ended)
            return
        self._lacks_threads = False
        channel.under_way += 1
        call.add_done_callback(partial(_end, when_ended, request, channel))

    def answer(self, ended: Ended) -> Sequence[str] | Failure:
        """The message ids for a request, or why it failed."""
        answer = self._answer(ended)
        if OBSERVERS:
            note_answer(self._path(ended.request), ended.request, answer)
        return answer

    def _answer(self, ended: Ended) -> Sequence[str] | Failure:
        self._under_way.pop(id(ended.request), None)
        if ended.channel is not None:
            ended.channel.under_way -= 1
            ended.channel.close_if_idle()
        try:
            ids = wire.message_ids(ended.result())
        except grpc.RpcError as error:
            return self._failure(ended, error)
        except (ThreadStartError, ConfigurationError) as error:
            return Failure(Kind.FINAL, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request was not accepted
            return Failure(Kind.PASSING, error)
        if len(ids) != len(ended.request.messages):
            return Failure(Kind.FINAL, _wrong_number(len(ids), len(ended.request.messages)))
        return ids

    def close(self) -> None:
        """Close the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    @property
    def is_quiet(self) -> bool:
        """Whether no call is under way; any thread may ask."""
        return all(each.channel.is_quiet for each in list(self._under_way.values()))

    def cancel(self, *, begun_before: float) -> None:
        """Cancel calls that wait for a connection or have begun before; any thread may do it."""
        for each in list(self._under_way.values()):
            if each.request.waits_for_connection or each.began < begun_before:
                each.call.cancel()

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

    def _open_first(self) -> Channel:
        if not can_open_first_channel():
            raise ThreadStartError.of_publisher("gRPC")
        forking.check_child()
        with gate.passed():
            channel = self._open()
            forking.register()
        return channel

    def _must_call_here(self, channel: Channel) -> bool:
        """Whether gRPC cannot start the thread for the events of a channel that has no calls.

        It would notice only after it has begun to send, so that the request would be sent twice.
        """
        is_in_doubt = self._lacks_threads or (may_lack_threads() and channel.is_quiet)
        return is_in_doubt and not can_start_threads(1)

    def _go_on_here(
        self,
        channel: Channel,
        request: Request,
        body: bytes,
        error: Exception,
        when_ended: Callable[[Ended], object],
    ) -> None:
        """Wait in this thread for a call for which gRPC could not start one."""
        if (result := channel.finish_call(error)) is not None:
            channel.under_way += 1
            when_ended(Ended(request, result, channel))
            return
        channel = self._channel = self._leave(channel)
        self._call_here(channel, request, body, when_ended)

    def _call_here(
        self,
        channel: Channel,
        request: Request,
        body: bytes,
        when_ended: Callable[[Ended], object],
    ) -> None:
        """Send ``request``, and wait for the answer, since gRPC can start no thread for that."""
        timeout = min(request.timeout, _LONGEST_CALL_HERE)
        channel.under_way += 1
        outcome: Future[bytes] = Future()
        try:
            with gate.passed():
                outcome.set_result(
                    channel.publish(body, timeout=timeout, **self._options(request, body))
                )
        except Exception as failure:  # noqa: BLE001 - it is the outcome
            outcome.set_exception(failure)
        when_ended(Ended(request, outcome.result, channel))

    def _leave(self, channel: Channel) -> Channel:
        """A new connection instead of one for which gRPC could not start a thread."""
        try:
            with gate.passed():
                replacement = self._open()
        except Exception:
            logger.exception("The connection to Pub/Sub could not be replaced; it is kept.")
            replacement = channel
        channel.abandon()
        return replacement

    def _failure(self, ended: Ended, error: Any) -> Failure:
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and ended.channel is not None:
            self._replace(ended.channel)
        google_error = from_grpc_error(error)  # type: ignore[no-untyped-call]
        explained = explain(google_error, self._path(ended.request), self._connection.address)
        return Failure(_KINDS.get(code, Kind.FINAL), explained)

    def _replace(self, channel: Channel) -> None:
        """Use a new connection from now on, unless ``channel`` was replaced before."""
        if channel.is_replaced:
            return
        try:
            with gate.passed():
                replacement = self._open()
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


def _raise(error: Exception) -> bytes:
    raise error


def _wrong_number(ids: int, messages: int) -> Exception:
    return RuntimeError(
        f"Pub/Sub has answered a request of {messages} message(s) with {ids} message id(s), so "
        "it is not known which messages it has accepted."
    )
