from __future__ import annotations

import pytest
from google.pubsub_v1.types import PublishRequest, PublishResponse

from rele.engine.native.publishing import wire

PATH = "projects/p/topics/orders"


@pytest.mark.parametrize(
    "size", [0, 1, 100, 127, 128, 2_030, 2_047, 2_048, 16_383, 16_384, 2_100_000]
)
def test_a_request_is_what_protobuf_makes_of_it(size: int) -> None:
    messages = [
        {"data": b"x" * size, "attributes": {"country": "ES", "ñ": "日本"}, "ordering_key": ""},
        {"data": b"", "attributes": {}, "ordering_key": "schlüssel"},
    ]
    fields = [wire.message_field(*message.values()) for message in messages]  # type: ignore[arg-type]
    parsed = PublishRequest.deserialize(wire.request(PATH, fields))

    assert parsed == PublishRequest(topic=PATH, messages=messages)


def test_so_is_one_with_the_longest_attributes_and_key() -> None:
    attributes = {"k" * 256: "v" * 1024, "é" * 128: "日" * 341, "empty": ""}
    field = wire.message_field(b"data", attributes, "k" * 1024)

    assert PublishRequest.deserialize(wire.request(PATH, [field])) == PublishRequest(
        topic=PATH,
        messages=[{"data": b"data", "attributes": attributes, "ordering_key": "k" * 1024}],
    )


def test_the_message_ids_of_a_response() -> None:
    response = PublishResponse.serialize(PublishResponse(message_ids=["1", "2"]))

    assert wire.message_ids(response) == ["1", "2"]
