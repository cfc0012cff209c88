"""``google.pubsub.v1.SchemaService``: there are no schemas."""

from rele.emulator.rpc.service import Service
from rele.emulator.rules import names
from rele.emulator.wire.classes import RawMessage
from rele.emulator.wire.encoding import EMPTY


class SchemaService:
    """The one RPC on schemas that clients without schemas call: ListSchemas."""

    def service(self) -> Service:
        """The RPC, ready to be added to a server."""
        service = Service("google.pubsub.v1.SchemaService")
        service.add_unary("ListSchemas", self.list_schemas)
        return service

    def list_schemas(self, request: RawMessage) -> RawMessage:
        names.check_project(request.parent, "parent")
        return EMPTY
