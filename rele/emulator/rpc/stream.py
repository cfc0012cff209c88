"""One ``StreamingPull`` call."""

import asyncio
from collections.abc import Sequence

import grpc.aio

from rele.emulator.delivery.consumers import FlowControl
from rele.emulator.resources.journal import Journal
from rele.emulator.resources.registry import Registry
from rele.emulator.resources.subscription import Subscription
from rele.emulator.rpc import acknowledging
from rele.emulator.rpc.attachment import Attachment
from rele.emulator.rpc.requests import parse_request
from rele.emulator.rpc.service import Context
from rele.emulator.rules import limits, names
from rele.emulator.rules.refusals import InvalidArgumentError, ServiceError
from rele.emulator.wire.classes import RawMessage
from rele.emulator.wire.encoding import (
    encode_acknowledge_confirmation,
    encode_modify_confirmation,
    encode_streaming_properties,
)


async def streaming_pull(registry: Registry, context: Context) -> None:
    """Serve one call until the client ends it or the subscription ends.

    Raises the ``ServiceError`` that the stream is to end with.
    """
    payload = await context.read()
    if payload is grpc.aio.EOF:
        return
    first = parse_request("StreamingPull", payload)
    subscription = _check_first(registry, first)
    flow = FlowControl(first.max_outstanding_messages, first.max_outstanding_bytes)
    with Attachment(subscription.backlog, flow, first.stream_ack_deadline_seconds) as attachment:
        # A client may wait for these before it considers the stream open.
        await context.send_initial_metadata(())
        await _Stream(subscription, registry.journal, attachment, context).run(first)


_FIRST_ONLY = (
    "subscription",
    "max_outstanding_messages",
    "max_outstanding_bytes",
    "protocol_version",
)


class _Stream:
    """Reads requests and writes messages concurrently, until either ends."""

    def __init__(
        self,
        subscription: Subscription,
        journal: Journal,
        attachment: Attachment,
        context: Context,
    ) -> None:
        self._subscription = subscription
        self._journal = journal
        self._attachment = attachment
        self._context = context
        self._half_closed = False
        self._uncommitted = 0
        self._wants_confirmations = False
        self._confirmations = b""

    async def run(self, first: RawMessage) -> None:
        # Version 0 stands for clients from before there were confirmations.
        self._wants_confirmations = first.protocol_version > 0
        self._settle(first)
        reader = asyncio.ensure_future(self._read())
        writer = asyncio.ensure_future(self._write())
        closed = self._attachment.closed
        try:
            await asyncio.wait({reader, writer, closed}, return_when=asyncio.FIRST_COMPLETED)
            if self._half_closed:
                # What is being written now reaches the client: it must not be released.
                await asyncio.wait({writer, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
        for finished in (closed, reader, writer):
            _raise_error_of(finished)

    async def _read(self) -> None:
        while (payload := await self._context.read()) is not grpc.aio.EOF:
            request = parse_request("StreamingPull", payload)
            self._check_later(request)
            self._settle(request)
        self._half_closed = True
        self._attachment.wake()

    async def _write(self) -> None:
        attachment = self._attachment
        while True:
            confirmations, self._confirmations = self._confirmations, b""
            batch = [] if self._half_closed else attachment.take()
            if not batch and not confirmations:
                if self._half_closed and not self._uncommitted:
                    return
                await attachment.ready()
                continue
            try:
                await self._context.write(
                    attachment.encode(batch) + confirmations + self._properties()
                )
            except BaseException:
                attachment.release(batch)
                raise

    def _settle(self, request: RawMessage) -> None:
        backlog = self._subscription.backlog
        if request.modify_deadline_ack_ids or request.modify_deadline_seconds:
            outcome = acknowledging.modify_ack_deadlines(
                backlog,
                request.modify_deadline_ack_ids,
                request.modify_deadline_seconds,
                "modify_deadline_seconds",
            )
            if outcome is not None:
                self._confirm(encode_modify_confirmation(outcome.done, outcome.invalid))
        if request.ack_ids:
            self._acknowledge(request.ack_ids)

    def _acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge messages, and confirm that once it is on disk.

        If acks cannot be kept, a stream without confirmations ends with the reason.
        """
        backlog = self._subscription.backlog
        try:
            self._journal.check()
        except ServiceError:
            if not backlog.exactly_once:
                raise
            self._confirm(encode_acknowledge_confirmation((), (), (), ack_ids))
            return
        outcome = acknowledging.acknowledge(backlog, ack_ids)
        if outcome is None:
            return
        accepted = outcome

        def confirm(error: ServiceError | None) -> None:
            self._uncommitted -= 1
            done, temporary = (accepted.done, ()) if error is None else ((), accepted.done)
            self._confirm(
                encode_acknowledge_confirmation(
                    done, accepted.invalid, accepted.unordered, temporary
                )
            )

        self._uncommitted += 1
        self._journal.after_commit(confirm)

    def _confirm(self, confirmation: bytes) -> None:
        if self._wants_confirmations:
            # Concatenated serialised messages are merged when they are parsed: lists are joined.
            self._confirmations += confirmation
        self._attachment.wake()

    def _check_later(self, request: RawMessage) -> None:
        for field in _FIRST_ONLY:
            if getattr(request, field):
                raise InvalidArgumentError(f"{field} may only be set in the first request.")
        if request.stream_ack_deadline_seconds:
            seconds = request.stream_ack_deadline_seconds
            limits.check_ack_deadline(seconds, "stream_ack_deadline_seconds")
            self._attachment.consumer.ack_deadline = seconds

    def _properties(self) -> bytes:
        config = self._subscription.config
        return encode_streaming_properties(
            exactly_once=config.enable_exactly_once_delivery,
            ordering=config.enable_message_ordering,
        )


def _check_first(registry: Registry, request: RawMessage) -> Subscription:
    if not request.subscription:
        raise InvalidArgumentError("subscription must be set in the first request.")
    names.check_subscription(request.subscription, "subscription")
    limits.check_ack_deadline(request.stream_ack_deadline_seconds, "stream_ack_deadline_seconds")
    return registry.attached_subscription(request.subscription)


def _raise_error_of(finished: "asyncio.Future[None]") -> None:
    if not finished.done() or finished.cancelled():
        return
    error = finished.exception()
    # gRPC's own errors say that the call is over: there is no client left to send an error to.
    if error is not None and not isinstance(error, grpc.aio.BaseError):
        raise error
