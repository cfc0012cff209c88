"""The message classes of ``google.pubsub.v1``, without Google's client library.

Importing that library for its messages alone would take most of the server's start, since it
loads its clients, their transports and their credentials. Only its descriptors are needed, a copy
of which is in ``descriptors_data``. A field that a newer client knows and the copy does not is
stored and returned, as protobuf does with every unknown field.
"""

import base64
import zlib
from typing import Any

from google.protobuf import duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from rele.emulator.wire.descriptors_data import FILES

_PACKAGE = "google.pubsub.v1"


def message_class(name: str) -> Any:
    """The class of the message ``name``, such as ``Topic``. Raises ``KeyError`` for none."""
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def _new_pool() -> DescriptorPool:
    # A pool of its own: the default pool has these names already if the program imports Google's
    # client library, too.
    pool = DescriptorPool()
    for module in (duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    for file in FILES:
        pool.AddSerializedFile(zlib.decompress(base64.b64decode(file)))
    return pool


_POOL = _new_pool()
