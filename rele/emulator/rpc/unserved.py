"""Methods that the service has and this server does not: refused, with a warning in the log."""

import logging
from typing import Any

import grpc
import grpc.aio

logger = logging.getLogger("rele.emulator")

_REASONS = {
    "google.pubsub.v1.SchemaService": "this server has no schemas",
    "google.iam.v1.IAMPolicy": "this server has no access control",
    "grpc.health.v1.Health": "this server has no health service",
    "grpc.reflection.v1.ServerReflection": "this server has no reflection",
    "grpc.reflection.v1alpha.ServerReflection": "this server has no reflection",
}


class UnservedMethods(grpc.GenericRpcHandler):
    """Answers every call UNIMPLEMENTED: it has to be the last of a server's handlers.

    The first call of each method is a warning in the log.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method.removeprefix("/")
        reason = _REASONS.get(method.partition("/")[0], "this server does not know it")
        text = f"{method} is not implemented: {reason}."

        async def refuse(_requests: object, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
            logger.log(self._level_for(method), "UNIMPLEMENTED: %s", text)
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

        # On the wire a unary call is a stream of one message.
        return grpc.stream_stream_rpc_method_handler(refuse)

    def _level_for(self, method: str) -> int:
        if method in self._known:
            return logging.DEBUG
        self._known.add(method)
        return logging.WARNING
