"""The outbox's order within a key, with several writers, relays and workers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.ledger import WRITE, Expected, Ledger, check_handled
from tests.support.project import Project
from tests.support.shop import Shop

pytestmark = pytest.mark.both_engines(slow="google")

MODELS = """
    from django.db import models

    class Customer(models.Model):
        orders = models.IntegerField(default=0)

    class Effect(models.Model):
        customer = models.IntegerField()
        number = models.IntegerField()
"""

SUBS = """
    from rele import sub
    from rele.contrib.inbox import idempotent
    from shop.models import Effect

    @sub(topic="orders", enable_message_ordering=True)
    @idempotent
    def handle(data, **attributes):
        Effect.objects.create(**data)
"""

WRITERS = 4

APPLICATION = (
    WRITE
    + f"""
    import sys
    from concurrent.futures import ThreadPoolExecutor
    import django
    from django.db import connections, transaction

    django.setup()
    import rele
    from shop.models import Customer

    def take(customer_id):
        with transaction.atomic():
            customer = Customer.objects.select_for_update().get(id=customer_id)
            customer.orders += 1
            customer.save()
            unique = f"{{customer.id}}{{customer.orders:04}}"
            rele.publish(
                "orders",
                {{"customer": customer.id, "number": customer.orders}},
                ordering_key=f"customer-{{customer.id}}",
                number=unique,
            )
        write(f"taken {{unique}}")

    def take_all(customer_ids):
        for customer_id in customer_ids:
            take(customer_id)
        connections.close_all()

    customers, orders = map(int, sys.argv[1:])
    Customer.objects.bulk_create(Customer() for _ in range(customers))
    ids = [id for id in Customer.objects.values_list("id", flat=True) for _ in range(orders)]
    with ThreadPoolExecutor() as executor:
        for _ in executor.map(take_all, [ids[n::{WRITERS}] for n in range({WRITERS})]):
            pass
"""
)
"""The writers all take orders of one customer, then of the next: they wait for each other."""

CUSTOMERS = 200
RELAYS = 2
WORKERS = 4

BATCH_SIZE = 7
"""Ends in the middle of a key, so that both relays would have something of it to send."""


@pytest.fixture
def database_url(postgres_url: str, project_id: str) -> str:
    """Of an empty database of the test's own."""
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute(f'CREATE DATABASE "{project_id}"')
    return urlsplit(postgres_url)._replace(path=f"/{project_id}").geturl()


@pytest.fixture
def shop(project: Project, embedded_server: str, database_url: str) -> Iterator[Shop]:
    app = {"models.py": MODELS, "subs.py": SUBS, "application.py": APPLICATION}
    # To connect for each message would be most of the work.
    with closing(Shop(project, embedded_server, database_url, app, conn_max_age=60)) as shop:
        shop.make_tables()
        yield shop


@pytest.mark.parametrize(
    ("kills", "orders"),
    [(3, 10), pytest.param(20, 50, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
def test_two_relays_and_four_workers_keep_each_key_in_order_while_relays_are_killed(
    shop: Shop, kills: int, orders: int
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    half = CUSTOMERS * orders // 2
    ledger = Ledger(shop.project.folder)
    for n in range(WORKERS):
        shop.start_worker(f"worker-{n}")
    shop.wait_for_the_subscription()

    application = shop.start_application(str(CUSTOMERS), str(orders))
    ledger.wait_for("taken", half, 120)  # so that both relays have enough to do
    relays = [
        shop.start_relay(f"relay-{n}", "--batch-size", str(BATCH_SIZE)) for n in range(RELAYS)
    ]
    for number in sorted(chance.sample(range(half), kills)):
        ledger.wait_for("delivered", number, 120)
        chance.choice(relays).kill()
    application.wait(120)
    shop.wait_until_all_is_done(180)

    deliveries = ledger.count("delivered")
    again = deliveries.total() - len(deliveries)
    print(f"{len(deliveries)} events delivered, {again} of them again")
    effects = shop.rows("SELECT customer * 10000 + number FROM shop_effect ORDER BY id")
    handled = [number for (number,) in effects]
    taken = sorted(ledger.count("taken"))
    keys = {number: f"customer-{number // 10_000}" for number in taken}
    assert len(taken) == CUSTOMERS * orders
    assert check_handled(handled, taken, Expected(keys)) == []
    delivered = ledger.check(
        taken, begun=None, handled="delivered", expected=Expected(keys, again=taken)
    )
    assert delivered == []
