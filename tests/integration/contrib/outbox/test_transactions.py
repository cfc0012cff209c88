from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction

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


@pytest.fixture
def without_autocommit(database: str) -> Iterator[None]:
    """The project has turned autocommit off, and commits by itself."""
    transaction.set_autocommit(False, using=ALIAS)
    yield
    transaction.rollback(using=ALIAS)
    transaction.set_autocommit(True, using=ALIAS)


@pytest.mark.usefixtures("without_autocommit")
class TestWithoutAutocommit:
    def test_what_commits_waits_in_the_outbox(self) -> None:
        rele.publish("order-paid", 1)
        rele.publish_many("order-paid", [2, 3])
        transaction.commit(using=ALIAS)

        transaction.rollback(using=ALIAS)
        assert [bytes(row.data) for row in waiting()] == [b"1", b"2", b"3"]

    def test_what_is_rolled_back_was_never_published(self) -> None:
        rele.publish("order-paid", 1)
        with transaction.atomic(using=ALIAS):
            rele.publish("order-paid", 2)
        assert len(waiting()) == 2

        transaction.rollback(using=ALIAS)
        assert waiting() == []

    def test_no_callback_is_left_behind(self) -> None:
        with transaction.atomic(using=ALIAS):
            rele.publish("order-paid", 1)
        transaction.commit(using=ALIAS)

        assert connections[ALIAS].run_on_commit == []


def test_where_the_settings_turn_autocommit_off(database: str) -> None:
    connections[ALIAS].close()
    connections[ALIAS].settings_dict["AUTOCOMMIT"] = False
    try:
        rele.publish("order-paid", 1)
        transaction.rollback(using=ALIAS)
        rele.publish("order-paid", 2)
        transaction.commit(using=ALIAS)
    finally:
        connections[ALIAS].close()
        connections[ALIAS].settings_dict["AUTOCOMMIT"] = True

    assert [bytes(row.data) for row in waiting()] == [b"2"]


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


def in_a_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``main``; the thread in which ORM calls run forgets the connection of this test."""

    def forget() -> None:
        connections[ALIAS].close()
        del connections[ALIAS]

    async def run() -> None:
        try:
            await main()
        finally:
            await sync_to_async(forget)()

    asyncio.run(run())


class TestInAnEventLoop:
    def test_a_message_is_written_in_the_transaction_of_the_orm_calls_of_the_context(self) -> None:
        async def main() -> None:
            block = transaction.atomic(using=ALIAS)
            await sync_to_async(block.__enter__)()
            await rele.apublish("order-paid", {"id": 42})
            await rele.apublish_many("order-paid", [{"id": 43}, {"id": 44}])
            await sync_to_async(transaction.set_rollback)(True, using=ALIAS)
            await sync_to_async(block.__exit__)(None, None, None)

        in_a_loop(main)

        assert waiting() == []

    def test_a_message_is_written_in_the_transaction_of_the_thread_that_runs_the_loop(self) -> None:
        async def view() -> None:
            await rele.apublish("order-paid", {"id": 42})

        with transaction.atomic(using=ALIAS):
            async_to_sync(view)()
            assert len(waiting()) == 1
            transaction.set_rollback(True, using=ALIAS)

        assert waiting() == []

    def test_outside_of_a_transaction_the_message_commits_alone(self) -> None:
        ids: list[str] = []

        async def main() -> None:
            ids.append((await rele.apublish("order-paid", 1)).result(0))

        in_a_loop(main)

        assert [row.event_id for row in waiting()] == ids

    def test_what_the_table_cannot_take_is_raised(self) -> None:
        async def main() -> None:
            with pytest.raises(ValueError, match="NUL"):
                await rele.apublish("order-paid", 1, note="\0")

        in_a_loop(main)

        assert waiting() == []
