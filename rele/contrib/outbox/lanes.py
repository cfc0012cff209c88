"""How messages are divided: lanes, whose order is kept, and shards, which relays share."""

from __future__ import annotations

import hashlib
from typing import Any
from zlib import crc32

from django.db import models

SHARDS = 16
"""Into how many parts the messages of an outbox are divided. At most that many relays share it."""


def lane_of(topic: str, ordering_key: str) -> int | None:
    """What stands for a topic and an ordering key in the indexes; ``None`` without a key.

    A number of 63 bits, since keys are too long for an index of MySQL or MariaDB. Two keys that
    happen to have the same number wait for each other, but keep their order.
    """
    if not ordering_key:
        return None
    digest = hashlib.blake2b(f"{topic}\0{ordering_key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def shard_of(lane: int | None, event_id: str) -> int:
    """The shard of a message: all messages of a lane have the same."""
    return (crc32(event_id.encode()) if lane is None else lane) % SHARDS


class _DerivedField:
    """A field whose value is worked out whenever a row is written."""

    plain_class: str
    """The field that migrations see."""

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()  # type: ignore[misc]
        return name, f"django.db.models.{self.plain_class}", args, kwargs


class LaneField(_DerivedField, models.BigIntegerField):  # type: ignore[type-arg]
    """The lane of a message."""

    plain_class = "BigIntegerField"

    def pre_save(self, model_instance: Any, add: bool) -> int | None:
        lane = lane_of(model_instance.topic, model_instance.ordering_key)
        setattr(model_instance, self.attname, lane)
        return lane


class ShardField(_DerivedField, models.PositiveSmallIntegerField):  # type: ignore[type-arg]
    """The shard of a message. The model declares it after the lane, which is known by then."""

    plain_class = "PositiveSmallIntegerField"

    def pre_save(self, model_instance: Any, add: bool) -> int:
        shard = shard_of(model_instance.lane, model_instance.event_id)
        setattr(model_instance, self.attname, shard)
        return shard
