"""``google.pubsub.v1.SchemaService``: there are no schemas."""

from rele.emulator.rpc.service import Service
from rele.emulator.rules import names
from rele.emulator.wire.protocol import EMPTY, SCHEMA_SERVICE, RawMessage


class SchemaService:
    """The one RPC on schemas that clients of other things call: what schemas there are."""

    def service(self) -> Service:
        """The RPC, ready to be added to a server."""
        service = Service(SCHEMA_SERVICE)
        service.add_unary("ListSchemas", self.list_schemas)
        return service

    def list_schemas(self, request: RawMessage) -> RawMessage:
        names.check_project(request.parent, "parent")
        return EMPTY
