"""The outbox and the inbox while everything around them is killed, restarted or away."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import postgres
from tests.acceptance.conftest import Project
from tests.acceptance.ledger import WRITE, Ledger
from tests.acceptance.shop import Shop
from tests.acceptance.supervised import Supervised
from tests.proxy import Proxy

MODELS = """
    from django.db import models

    class Order(models.Model):
        number = models.IntegerField()

    class Delivery(models.Model):
        number = models.IntegerField()

    class Effect(models.Model):
        number = models.IntegerField()
"""

SUBS = """
    from rele import sub
    from rele.contrib.inbox import idempotent
    from shop.models import Delivery, Effect

    @sub(topic="orders")
    @idempotent
    def handle(data, **attributes):
        Effect.objects.create(number=data)

    @sub(topic="orders", suffix="every-time")
    def note(data, **attributes):
        Delivery.objects.create(number=data)
"""

APPLICATION = (
    WRITE
    + """
    import sys
    import time
    import django
    from django.db import Error, connection, transaction

    django.setup()
    import rele
    from shop.models import Order

    class Refused(Exception):
        pass

    def take(number):
        with transaction.atomic():
            Order.objects.create(number=number)
            rele.publish("orders", number)
            if number % 2:
                raise Refused

    for number in range(len(open("ledger").readlines()), int(sys.argv[1])):
        write(f"begin {number}")
        try:
            take(number)
        except Refused:
            pass
        except Error:  # as a site that answers 500, and whose users come again later
            connection.close()
            time.sleep(0.1)
        time.sleep(0.004)
"""
)
"""Takes the orders that are left, from its first to a last number. The odd ones are rolled back."""

KILLS = {"application": 4, "relay": 4, "worker": 1}
"""How often each is killed in a round."""

AT_A_TIME = 3
"""Rounds that run side by side: some of one is waiting."""


class Round:
    """A shop in which orders are taken, and what can happen to it.

    Args:
        shop: where.
        database: its PostgreSQL.
        proxy: what it reaches Pub/Sub through.
        outage: seconds for which Pub/Sub is away.
        orders: how many are taken, and half of them rolled back.
    """

    def __init__(
        self, shop: Shop, database: postgres.Server, proxy: Proxy, outage: float, orders: int
    ) -> None:
        self.shop = shop
        self._database = database
        self._proxy = proxy
        self._outage = outage
        self._orders = orders
        self._back_again = threading.Timer(outage, proxy.resume)
        self._processes: dict[str, Supervised] = {}

    def play(self, chance: random.Random) -> None:
        """Take the orders, and let each fault happen when a random number of them is begun."""
        self._start("worker", "-m", "django", "runrele")
        self.shop.wait_for_subscriptions(2)
        self._start("relay", "-m", "django", "rele", "relay")
        self._start("application", "application.py", str(self._orders))
        ledger = Ledger(self.shop.project.folder)
        faults = self._faults()
        chance.shuffle(faults)
        for begun, fault in zip(
            sorted(chance.sample(range(self._orders), len(faults))), faults, strict=True
        ):
            ledger.wait_for("begin", begun)
            fault()
        self._processes["application"].wait(30)
        self._back_again.join()
        self.shop.wait_until_all_is_done(60)
        for process in self._processes.values():
            process.end()

    def summary(self) -> str:
        """How often each process was killed while it ran."""
        return ", ".join(f"{name} killed {each.kills} x" for name, each in self._processes.items())

    def give_up(self) -> None:
        for process in self._processes.values():
            process.give_up()
        self._back_again.cancel()

    def _start(self, name: str, *arguments: str) -> None:
        self._processes[name] = Supervised(self.shop.project, name, *arguments)

    def _faults(self) -> list[Callable[[], None]]:
        kills = [self._processes[name].kill for name, count in KILLS.items() for _ in range(count)]
        return [*kills, self._restart_database, self._kill_database, self._take_pubsub_away]

    def _restart_database(self) -> None:
        self._database.stop()
        self._database.start()

    def _kill_database(self) -> None:
        self._database.kill()
        self._database.start()

    def _take_pubsub_away(self) -> None:
        self._proxy.cut()
        self._back_again.start()


@contextmanager
def a_round(project: Project, server: str, outage: float, orders: int) -> Iterator[Round]:
    """A round with a database and a way to ``server`` of its own; all is ended with the block."""
    with postgres.running() as database, Proxy(server) as proxy:
        project.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        project.write("application.py", APPLICATION)
        project.write("ledger", "")
        shop = Shop(project, server, database.url, MODELS, SUBS)
        a_round = Round(shop, database, proxy, outage, orders)
        try:
            yield a_round
        finally:
            a_round.give_up()
            project.kill_all()


@pytest.mark.parametrize(
    ("rounds", "orders", "outage"),
    [
        (3, 700, 5),
        pytest.param(20, 2000, 60, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_an_event_is_told_if_and_only_if_its_transaction_commits_and_has_its_effect_once(
    tmp_path: Path, embedded_server: str, project_id: str, rounds: int, orders: int, outage: float
) -> None:
    def play(seed: int) -> None:
        project = Project(tmp_path / str(seed), embedded_server, f"{project_id}-{seed}")
        project.folder.mkdir()
        with a_round(project, embedded_server, outage, orders) as played:
            played.play(random.Random(seed))
            committed, told, done = map(played.shop.numbers, ("order", "delivery", "effect"))
        print(
            f"seed {seed}: {len(committed)} of {orders} committed, {len(told)} deliveries of "
            f"{len(set(told))} events, {len(done)} effects; {played.summary()}"
        )
        assert set(told) == set(committed)
        assert Counter(done) == Counter(committed)
        assert {number % 2 for number in committed} == {0}

    seeds = random.sample(range(1_000_000), rounds)
    print(f"seeds {seeds}")
    with ThreadPoolExecutor(AT_A_TIME) as executor:
        for _ in executor.map(play, seeds):
            pass
