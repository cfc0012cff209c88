from __future__ import annotations

import time

import pytest
from django.db import transaction

import rele
from rele.contrib.outbox.models import State
from tests.support.outbox import ALIAS, waiting

pytestmark = pytest.mark.usefixtures("database")


def test_what_commits_waits_in_the_outbox() -> None:
    with transaction.atomic(using=ALIAS):
        rele.publish("order-paid", {"id": 42}, country="ES", ordering_key="customer-7")

    [row] = waiting()
    assert (row.topic, bytes(row.data)) == ("order-paid", b'{"id": 42}')
    assert (row.ordering_key, row.state, row.attempts) == ("customer-7", State.WAITING, 0)
    assert row.attributes["country"] == "ES"
    assert float(row.attributes["published_at"]) <= time.time()


def test_what_is_rolled_back_was_never_published() -> None:
    with transaction.atomic(using=ALIAS):
        rele.publish("order-paid", {"id": 42})
        rele.publish_many("order-paid", [{"id": 43}, {"id": 44}])
        transaction.set_rollback(True, using=ALIAS)

    assert waiting() == []


def test_a_savepoint_that_is_rolled_back_takes_its_messages_with_it() -> None:
    with transaction.atomic(using=ALIAS):
        rele.publish("order-paid", 1)
        with transaction.atomic(using=ALIAS):
            rele.publish("order-paid", 2)
            transaction.set_rollback(True, using=ALIAS)

    assert [bytes(row.data) for row in waiting()] == [b"1"]


def test_outside_of_a_transaction_the_message_commits_alone() -> None:
    rele.publish("order-paid", 1)
    transaction.set_autocommit(False, using=ALIAS)
    transaction.rollback(using=ALIAS)
    transaction.set_autocommit(True, using=ALIAS)

    assert [bytes(row.data) for row in waiting()] == [b"1"]


def test_several_are_written_in_their_order() -> None:
    futures = rele.publish_many(
        "order-paid", [{"id": 1}, ({"id": 2}, {"country": "ES"}), {"id": 3}]
    )

    rows = waiting()
    assert [bytes(row.data) for row in rows] == [b'{"id": 1}', b'{"id": 2}', b'{"id": 3}']
    assert rows[1].attributes["country"] == "ES"
    assert [future.result(0) for future in futures] == [row.event_id for row in rows]


@pytest.mark.parametrize(
    ("topic", "attributes"),
    [
        ("t" * 256, {}),
        ("order-paid", {"ordering_key": "k" * 1025}),
        ("order-paid", {"note": "\0"}),
        ("order-paid", {"\0": "note"}),
        ("order\0paid", {}),
    ],
)
def test_what_the_table_cannot_take_leaves_the_transaction_usable(
    topic: str, attributes: dict[str, str]
) -> None:
    with transaction.atomic(using=ALIAS):
        with pytest.raises(ValueError, match=r"accepts no topic|1025 bytes long|NUL"):
            rele.publish(topic, 1, **attributes)
        rele.publish("order-paid", 2)

    assert [bytes(row.data) for row in waiting()] == [b"2"]
