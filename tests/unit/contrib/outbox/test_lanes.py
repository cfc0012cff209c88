"""Lanes and shards of messages."""

from __future__ import annotations

import pytest

import rele
from rele.contrib.outbox import lanes
from rele.contrib.outbox.lanes import SHARDS, lane_of, shard_of
from rele.contrib.outbox.models import OutboxMessage
from tests.support.outbox import waiting


def test_a_message_without_an_ordering_key_has_no_lane() -> None:
    assert lane_of("orders", "") is None


def test_a_topic_and_a_key_are_a_lane() -> None:
    assert lane_of("orders", "a") == lane_of("orders", "a")
    assert len({lane_of("orders", "a"), lane_of("orders", "A"), lane_of("order", "sa")}) == 3


def test_a_lane_is_in_one_shard() -> None:
    lane = lane_of("orders", "a")

    assert {shard_of(lane, str(number)) for number in range(100)} == {shard_of(lane, "")}


def test_messages_without_a_key_are_in_all_shards() -> None:
    assert {shard_of(None, str(number)) for number in range(1000)} == set(range(SHARDS))


def test_a_row_is_written_with_both_and_its_lane_is_worked_out_once(
    sqlite: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out: list[str] = []

    def note(topic: str, ordering_key: str) -> int | None:
        worked_out.append(ordering_key)
        return lane_of(topic, ordering_key)

    monkeypatch.setattr(lanes, "lane_of", note)
    rele.publish_many("orders", [(1, {"ordering_key": "a"}), 2])
    rele.publish("orders", 3, ordering_key="b")

    rows = waiting()
    assert [row.lane for row in rows] == [
        lane_of("orders", "a"),
        None,
        lane_of("orders", "b"),
    ]
    assert [row.shard for row in rows] == [shard_of(row.lane, row.event_id) for row in rows]
    assert worked_out == ["a", "", "b"]


def test_a_migration_sees_plain_fields() -> None:
    fields = [OutboxMessage._meta.get_field(name) for name in ("lane", "shard")]

    assert [field.deconstruct()[1] for field in fields] == [
        "django.db.models.BigIntegerField",
        "django.db.models.PositiveSmallIntegerField",
    ]
