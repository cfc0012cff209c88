"""All of an outbox behind PgBouncer in transaction mode, where no connection is a relay's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support import databases, pgbouncer
from tests.support.ledger import WRITE, Expected, Ledger
from tests.support.polling import wait_until
from tests.support.project import Project
from tests.support.shop import Shop

LEASE = 3
KEYS = 20
ORDERS = 600

MODELS = """
    from django.db import models

    class Order(models.Model):
        number = models.IntegerField()
"""

SUBS = """
    from rele import sub

    @sub(topic="orders", enable_message_ordering=True)
    def handle(data, **attributes):
        pass
"""

APPLICATION = (
    WRITE
    + f"""
    import sys
    import django
    from django.db import transaction

    django.setup()
    import rele
    from shop.models import Order

    for number in range(*map(int, sys.argv[1:])):
        with transaction.atomic():
            Order.objects.create(number=number)
            rele.publish(
                "orders", number, ordering_key=f"key-{{number % {KEYS}}}", number=str(number)
            )
            transaction.set_rollback(number % 10 == 9)
        write(f"taken {{number}}")
"""
)
"""Every tenth order is rolled back."""


@pytest.fixture
def database_url(postgres_url: str, project_id: str) -> str:
    """Of an empty database of the test's own, past PgBouncer."""
    return databases.create(postgres_url, project_id.replace("-", "_"))


@pytest.fixture
def shop(project: Project, embedded_server: str, database_url: str) -> Iterator[Shop]:
    app = {"models.py": MODELS, "subs.py": SUBS, "application.py": APPLICATION}
    with pgbouncer.running(database_url) as url:
        with closing(
            Shop(project, embedded_server, url, app, conn_max_age=60, outbox={"LEASE": LEASE})
        ) as shop:
            shop.make_tables()
            yield shop


def test_nothing_is_lost_and_keys_stay_in_order_when_one_of_two_relays_is_killed(
    shop: Shop,
) -> None:
    ledger = Ledger(shop.project.folder)
    shop.start_worker()
    shop.wait_for_the_subscription()
    relays = [shop.start_relay(f"relay-{n}", "--batch-size", "10") for n in range(2)]
    shop.start_application("0", str(ORDERS // 2)).wait(60)
    ledger.wait_for("delivered", ORDERS // 2 * 9 // 10)

    wait_until(lambda: holders(shop) == 2, 20)
    # A relay finds out, at a renewal, that its lock is of a connection that others use, too.
    wait_until(lambda: session_locks(shop) == [None, None], 20)
    application = shop.start_application(str(ORDERS // 2), str(ORDERS))
    relays[0].give_up()
    wait_until(lambda: holders(shop) == 1, LEASE + 10)
    application.wait(60)
    shop.wait_until_all_is_done(60)

    taken = [number for number in sorted(ledger.count("taken")) if number % 10 != 9]
    keys = {number: f"key-{number % KEYS}" for number in taken}
    broken = ledger.check(
        taken, begun=None, handled="delivered", expected=Expected(keys, again=taken)
    )
    assert broken == []
    assert len(ledger.lines("delivered")) <= len(taken) + 10, "what one batch may repeat"
    relays[1].end()


def holders(shop: Shop) -> int:
    """How many relays have a shard."""
    query = "SELECT count(DISTINCT holder) FROM rele_outbox_shard WHERE holder != ''"
    [(number,)] = shop.rows(query)
    return int(number)


def session_locks(shop: Shop) -> list[int | None]:
    return [lock for (lock,) in shop.rows("SELECT session_lock FROM rele_outbox_relay")]
