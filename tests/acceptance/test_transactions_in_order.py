"""The outbox's order within a key, with several writers, relays and workers, whatever happens."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support import databases
from tests.support.ledger import WRITE, Expected, Ledger, check_handled
from tests.support.project import Project
from tests.support.shop import Shop
from tests.support.supervised import Supervised

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

    @sub(topic="invoices")
    def handle_invoice(data, **attributes):
        pass
"""

BACKEND = """
    from pathlib import Path
    from google.api_core.exceptions import ServiceUnavailable
    from rele.backends import Refused
    from rele.backends.pubsub import PubSubBackend

    def is_down(topic):
        return topic == "invoices" and Path("down").exists()

    class WithOutages(PubSubBackend):
        def send(self, messages):
            sent = [message for message in messages if not is_down(message.topic)]
            answers = iter(super().send(sent) if sent else [])
            return [
                Refused(ServiceUnavailable("down")) if is_down(message.topic) else next(answers)
                for message in messages
            ]
"""
"""Pub/Sub, in which one topic is unavailable as long as there is a file ``down``."""

WRITERS = 4

INVOICE = 100_000_000
"""What is added to a customer's number for an invoice."""

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
            if customer.orders == 1:
                rele.publish("invoices", customer.id, number=str({INVOICE} + customer.id))
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


LEASE = 3
"""Seconds, the least that is allowed."""


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, project_id: str) -> str:
    """Of an empty database of the test's own."""
    url = request.getfixturevalue(f"{kind}_url")
    return databases.create(url, project_id.replace("-", "_"))


@pytest.fixture
def shop(project: Project, embedded_server: str, database_url: str) -> Iterator[Shop]:
    app = {
        "models.py": MODELS,
        "subs.py": SUBS,
        "backend.py": BACKEND,
        "application.py": APPLICATION,
    }
    outbox = {"LEASE": LEASE, "BACKEND": "shop.backend.WithOutages"}
    # To connect for each message would be most of the work.
    with closing(
        Shop(project, embedded_server, database_url, app, conn_max_age=60, outbox=outbox)
    ) as shop:
        shop.make_tables()
        yield shop


def let_faults_happen(
    shop: Shop, relays: list[Supervised], database_url: str, kills: int, chance: random.Random
) -> None:
    """Each after some more deliveries; all are over when it returns."""
    ledger = Ledger(shop.project.folder)
    suspended = []
    faults = [
        *[lambda: chance.choice(relays).kill()] * kills,
        *[lambda: databases.end_relays_sessions(database_url)] * 2,
        *[lambda relay=relay: suspended.append(relay.suspend(LEASE + 1)) for relay in relays],
        lambda: (shop.project.folder / "down").unlink(),
    ]
    chance.shuffle(faults)
    for fault in faults:
        wait_for_some(ledger, chance.randint(1, 100))
        fault()
    for timer in suspended:
        timer.join()


def wait_for_some(ledger: Ledger, number: int, seconds: float = 2) -> None:
    """Wait for more deliveries; both relays may be suspended, then there are none for a while."""
    enough = ledger.count("delivered").total() + number
    deadline = time.monotonic() + seconds
    while ledger.count("delivered").total() < enough and time.monotonic() < deadline:
        time.sleep(0.02)  # other processes write the ledger


@pytest.mark.parametrize(
    "kind",
    # In test_transactions_and_faults.py relays are killed on MariaDB in each run of the tests.
    ["postgres", pytest.param("mariadb", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(
    ("kills", "orders"),
    [
        pytest.param(3, 10, marks=pytest.mark.timeout(300)),
        pytest.param(20, 50, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_two_relays_and_four_workers_keep_each_key_in_order_whatever_happens_to_the_relays(
    shop: Shop, database_url: str, kills: int, orders: int
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ledger = Ledger(shop.project.folder)
    for n in range(WORKERS):
        shop.start_worker(f"worker-{n}")
    shop.wait_for_the_subscription()
    shop.project.write("down", "")

    application = shop.start_application(str(CUSTOMERS), str(orders))
    ledger.wait_for("taken", CUSTOMERS * orders // 2, 120)  # so that both relays have enough to do
    relays = [
        shop.start_relay(f"relay-{n}", "--batch-size", str(BATCH_SIZE)) for n in range(RELAYS)
    ]
    let_faults_happen(shop, relays, database_url, kills, chance)
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
    invoices = [INVOICE + customer for customer in {number // 10_000 for number in taken}]
    delivered = ledger.check(
        [*taken, *invoices],
        begun=None,
        handled="delivered",
        expected=Expected(keys, again=[*taken, *invoices]),
    )
    assert delivered == []
