"""Our copy of the ``.proto`` files against the installed package's."""

from __future__ import annotations

import base64
import zlib
from importlib.metadata import version
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.pubsub_v1 import types

from rele.emulator.wire.descriptors import message_class
from rele.emulator.wire.descriptors_data import FILES, MADE_FROM
from tests.support.pubsub_descriptors import installed_files

LABELS = descriptor_pb2.FieldDescriptorProto.Label


def _shapes(files: list[bytes]) -> dict[str, Any]:
    """What is said of each field of each message, by the field's full name."""
    shapes: dict[str, Any] = {}
    for file in files:
        parsed = descriptor_pb2.FileDescriptorProto.FromString(file)
        for message in parsed.message_type:
            _add_shapes(message, message.name, shapes)
    return shapes


def _add_shapes(message: Any, name: str, shapes: dict[str, Any]) -> None:
    for field in message.field:
        # Absent in the copy or the other: a field that a version adds is no difference.
        shapes[f"{name}.{field.name}"] = (
            field.number,
            field.type,
            LABELS.Name(field.label),
            field.type_name,
        )
    for nested in message.nested_type:
        _add_shapes(nested, f"{name}.{nested.name}", shapes)


def _copied_files() -> list[bytes]:
    return [zlib.decompress(base64.b64decode(file)) for file in FILES]


def test_the_copy_is_what_the_installed_package_has() -> None:
    ours, theirs = _shapes(_copied_files()), _shapes(installed_files())

    assert {name: ours[name] for name in ours if name in theirs} == {
        name: theirs[name] for name in theirs if name in ours
    }
    assert len(ours.keys() & theirs.keys()) > 200
    if version("google-cloud-pubsub") == MADE_FROM:
        assert ours.keys() == theirs.keys()


def test_messages_go_over_the_wire_as_those_of_the_installed_package() -> None:
    fields = {
        "name": "projects/p/subscriptions/s",
        "labels": {"k": "v"},
        "retry_policy": {"minimum_backoff": {"seconds": 3}},
    }
    theirs = types.Subscription.pb()(**fields)

    ours = message_class("Subscription").FromString(theirs.SerializeToString())

    assert ours == message_class("Subscription")(**fields)
    assert types.Subscription.pb().FromString(ours.SerializeToString()) == theirs


def test_what_the_copy_does_not_know_is_kept() -> None:
    unknown = b"\xfa\x7f\x03new"  # field 2047

    topic = message_class("Topic").FromString(unknown)
    copy = message_class("Topic")()
    copy.CopyFrom(topic)

    assert copy.SerializeToString() == unknown


def test_an_unknown_message_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        message_class("Nope")
