from __future__ import annotations

import time
import traceback
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connections, transaction

import rele
from rele.contrib.outbox import backend
from rele.messages.limits import MAX_ATTRIBUTES, MAX_REQUEST_BYTES, request_size
from tests.support.in_use import register
from tests.support.outbox import ALIAS, waiting
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("sqlite")


def test_the_result_of_the_future_is_the_event_id_which_the_message_carries() -> None:
    future = rele.publish("order-paid", 1)

    [row] = waiting()
    assert future.done()
    assert future.result(0) == row.event_id == row.attributes["event_id"]
    assert UUID(row.event_id).version == 7


def test_an_event_id_that_is_given_stays() -> None:
    assert rele.publish("order-paid", 1, event_id="mine").result(0) == "mine"

    [row] = waiting()
    assert (row.event_id, row.attributes["event_id"]) == ("mine", "mine")


@pytest.mark.parametrize("setting", [{}, {"PUBLISHER_BLOCKING": True}])
def test_blocking_and_timeout_are_ignored(setting: dict[str, Any]) -> None:
    rele.setup(
        {
            "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
            "MIDDLEWARE": [],
            "OUTBOX": {"USING": ALIAS},
            **setting,
        }
    )
    began = time.monotonic()
    with transaction.atomic(using=ALIAS):
        future = rele.publish("order-paid", 1, blocking=True, timeout=600)
        assert future.done()

    assert time.monotonic() - began < 60
    assert len(waiting()) == 1


def test_the_event_id_and_published_at_are_among_the_hundred_attributes() -> None:
    attributes = {f"a{number}": "x" for number in range(MAX_ATTRIBUTES - 2)}

    rele.publish("order-paid", 1, **attributes)
    with pytest.raises(ValueError, match="100 attributes, published_at and event_id included"):
        rele.publish("order-paid", 2, **attributes, one="more")

    [row] = waiting()
    assert len(row.attributes) == MAX_ATTRIBUTES


def test_a_message_that_pubsub_never_takes_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"9,999,982 bytes of data.*Pub/Sub takes 10,000,000"):
        rele.publish("order-paid", "x" * (9_999_982 - 2))

    assert waiting() == []


def test_the_event_id_counts_to_the_size() -> None:
    room = MAX_REQUEST_BYTES - request_size("order-paid", b"", {"published_at": "1" * 18}, "")
    with pytest.raises(ValueError, match=r"Pub/Sub takes 10,000,000"):
        rele.publish("order-paid", "x" * (room - 40))

    rele.publish("order-paid", "x" * (room - 80))

    assert len(waiting()) == 1


@pytest.mark.parametrize("topic", ["", "a b", "projects/shop/topics/order-paid", "google-orders"])
def test_a_topic_that_pubsub_never_takes_is_refused_at_once(topic: str) -> None:
    with pytest.raises(ValueError, match="Pub/Sub accepts no topic named"):
        rele.publish(topic, 1)

    assert waiting() == []


def test_one_that_is_refused_does_not_keep_the_others_back() -> None:
    first, second, third = rele.publish_many(
        "order-paid", [1, (2, {"note": "\0"}), 3], raise_exception=False
    )

    assert isinstance(second.exception(0), ValueError)
    assert [row.event_id for row in waiting()] == [first.result(0), third.result(0)]


def test_the_caller_runs_pre_publish_and_no_outcome_hook(hooks: Recorder) -> None:
    rele.publish("order-paid", {"id": 42})

    assert hooks.names == ["pre_publish"]


def test_what_middleware_adds_is_written() -> None:
    hooks = Recorder()
    hooks.actions["pre_publish"] = lambda topic, data, attributes: attributes.update(user="ana")
    register(hooks)

    rele.publish("order-paid", 1)

    assert waiting()[0].attributes["user"] == "ana"


def test_what_is_refused_on_the_spot_runs_the_failure_hook_at_once(hooks: Recorder) -> None:
    with pytest.raises(ValueError, match="accepts no topic named"):
        rele.publish("t" * 256, 1)

    assert hooks.names == ["pre_publish", "post_publish_failure"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_missing_table_is_one_error_with_the_remedy(count: int) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE rele_outbox_outboxmessage RENAME TO elsewhere")

    with pytest.raises(DatabaseError) as raised:
        rele.publish_many("order-paid", range(count))

    assert str(raised.value) == (
        "The outbox cannot be used: no such table: rele_outbox_outboxmessage. Its tables are "
        "missing: run `manage.py migrate`, with --database outbox."
    )
    shown = "".join(traceback.format_exception(raised.value))
    assert "django/db" not in shown


def test_a_database_that_fails_is_a_failure_of_the_publish(
    hooks: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(backend.OutboxMessage, "save", fail)

    with pytest.raises(DatabaseError, match="away"):
        rele.publish("order-paid", 1)

    assert hooks.names == ["pre_publish", "post_publish_failure"]


class Router:
    """A project's router."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return ALIAS if model._meta.app_label == "rele_outbox" else None


def test_without_using_the_router_says_which_database(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.Router"]
    rele.setup({"PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend", "MIDDLEWARE": []})

    rele.publish("order-paid", 1)

    assert [bytes(row.data) for row in waiting()] == [b"1"]
