"""Methods of a gRPC service: their registration, and errors as status codes."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio

from rele.emulator.resources.journal import NO_JOURNAL, Journal
from rele.emulator.rpc.requests import parse_request
from rele.emulator.rules.refusals import AckIdsError, ServiceError, UnimplementedError
from rele.emulator.wire.classes import RawMessage
from rele.emulator.wire.encoding import encode_ack_id_failures, serialize

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary: TypeAlias = Callable[[RawMessage], RawMessage]
AsyncUnary: TypeAlias = Callable[[RawMessage, Context], Awaitable[RawMessage]]
Stream: TypeAlias = Callable[[Context], Awaitable[None]]


logger = logging.getLogger("rele.emulator")
# Leases and their deadlines are not kept on disk.
_CHANGE_NOTHING = ("Get", "List", "ModifyAckDeadline")


class Service:
    """The methods of one gRPC service. What is not added is left to ``UnservedMethods``."""

    def __init__(self, name: str, journal: Journal = NO_JOURNAL) -> None:
        self._name = name
        self._journal = journal
        self._handlers: dict[str, Any] = {}

    def add_unary(self, method: str, function: Unary) -> None:
        """Serve ``method`` by a function that answers at once.

        If it changes something, it is called only while changes can be kept, and its response is
        sent once they are on disk.
        """
        journal = self._journal
        changes = not method.startswith(_CHANGE_NOTHING)

        async def handle(payload: bytes, context: Context) -> RawMessage:
            logger.debug("%s", method)
            try:
                request = parse_request(method, payload)
                if not changes:
                    return function(request)
                journal.check()
                response = function(request)
                if not journal.settled:
                    await journal.committed()
                return response
            except ServiceError as error:
                await abort(method, context, error)

        self._add(method, grpc.unary_unary_rpc_method_handler, handle)

    def add_async_unary(self, method: str, function: AsyncUnary) -> None:
        """Serve ``method`` by a function that may have to wait."""

        async def handle(payload: bytes, context: Context) -> RawMessage:
            logger.debug("%s", method)
            try:
                return await function(parse_request(method, payload), context)
            except ServiceError as error:
                await abort(method, context, error)

        self._add(method, grpc.unary_unary_rpc_method_handler, handle)

    def add_stream(self, method: str, function: Stream) -> None:
        """Serve ``method``, a stream in both directions, by a function that reads and writes.

        What it reads from the context are the requests' bytes.
        """

        async def handle(_requests: object, context: Context) -> None:
            logger.debug("%s", method)
            try:
                await function(context)
            except ServiceError as error:
                await abort(method, context, error)

        self._add(method, grpc.stream_stream_rpc_method_handler, handle)

    def generic_handler(self) -> "grpc.GenericRpcHandler":
        """What a gRPC server takes."""
        return grpc.method_handlers_generic_handler(self._name, self._handlers)

    def _add(self, method: str, make_handler: Callable[..., Any], handle: Any) -> None:
        # Without a deserializer: if one fails, gRPC answers UNKNOWN.
        self._handlers[method] = make_handler(handle, response_serializer=serialize)


async def abort(method: str, context: Context, error: ServiceError) -> NoReturn:
    """End the RPC ``method`` with the status, text and details of ``error``."""
    level = logging.WARNING if isinstance(error, UnimplementedError) else logging.INFO
    logger.log(level, "%s: %s: %s", method, error.status, error)
    code = grpc.StatusCode[error.status]
    if isinstance(error, AckIdsError):
        number: int = code.value[0]
        details = encode_ack_id_failures(number, str(error), error.failures)
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
    await context.abort(code, str(error))
