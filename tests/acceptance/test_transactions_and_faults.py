"""The outbox and the inbox while everything around them is killed, restarted or unavailable."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.ledger import WRITE, Expected, Ledger, check_handled
from tests.support.project import Project
from tests.support.proxy import Proxy
from tests.support.shop import Shop
from tests.support.supervised import Supervised

pytestmark = pytest.mark.both_engines(slow="google")

MODELS = """
    from django.db import models

    class Order(models.Model):
        number = models.IntegerField()

    class Effect(models.Model):
        number = models.IntegerField()
"""

SUBS = """
    from rele import sub
    from rele.contrib.inbox import idempotent
    from shop.models import Effect

    @sub(topic="orders")
    @idempotent
    def handle(data, **attributes):
        Effect.objects.create(number=data)
"""

APPLICATION = (
    WRITE
    + """
    import sys
    import time
    from itertools import count
    from pathlib import Path
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
            rele.publish("orders", number, number=str(number))
            if number % 2:
                raise Refused

    for number in count(Path("ledger").read_text().count("begin")):
        if number >= int(sys.argv[1]) and Path("enough").exists():
            break
        write(f"begin {number}")
        try:
            take(number)
        except Refused:
            pass
        except Error:  # as a site that answers 500, and whose users try again later
            connection.close()
            time.sleep(0.1)
        if number % int(sys.argv[2]) == 0:
            time.sleep(1)
"""
)
"""Takes orders, numbered on from its last one, so many at a time; odd ones are rolled back."""

LEASE = 3
"""Seconds, the least that is allowed."""

LONGEST_PAUSE = 20
"""Between two faults: orders that are begun, or events that are delivered."""

LONGEST_SILENCE = 3
"""Seconds: while Pub/Sub is unavailable nothing is delivered, and faults happen then, too."""

AT_A_TIME = 3
"""Rounds that run side by side: much of one is waiting."""


class Round:
    """A shop in which orders are taken, and what happens to it.

    Args:
        shop: where.
        database: its database.
        proxy: what it reaches Pub/Sub through.
        orders: how many are taken at the least, and half of them rolled back.
        pace: how many are taken at a time, before a second's pause.
        outage: seconds for which Pub/Sub is unavailable.
        chance: when what happens.
    """

    def __init__(
        self,
        shop: Shop,
        database: databases.Server,
        proxy: Proxy,
        orders: int,
        pace: int,
        outage: float,
        chance: random.Random,
    ) -> None:
        self._shop = shop
        self._database = database
        self._proxy = proxy
        self._orders = orders
        self._pace = pace
        self._outage = outage
        self._chance = chance
        self._timers: list[threading.Timer] = []
        self._ledger = Ledger(shop.project.folder)

    def play(self) -> None:
        """Let all faults happen, then let what was begun come to its end."""
        worker = self._shop.start_worker()
        self._shop.wait_for_the_subscription()
        relays = [self._shop.start_relay(f"relay-{n}", "--batch-size", "50") for n in range(2)]
        application = self._shop.start_application(str(self._orders), str(self._pace))
        faults = [
            *[("begin", application.kill)] * 3,
            *[("delivered", relay.kill_and_wait) for relay in relays],
            *[("delivered", partial(self._suspend, relay)) for relay in relays],
            ("delivered", partial(databases.end_relays_sessions, self._database.url)),
            ("delivered", worker.kill_and_wait),
            ("begin", self._restart_database),
            ("begin", self._kill_database),
            ("begin", partial(self._take_pubsub_away, self._chance.choice(relays))),
        ]
        for word, fault in self._chance.sample(faults, len(faults)):
            self._wait_for_some(word, self._chance.randint(1, LONGEST_PAUSE))
            fault()
        self._shop.project.write("enough", "")
        application.wait(300)  # it may have many orders to take still
        for timer in self._timers:
            timer.join()
        self._shop.wait_until_all_is_done(120)
        for relay in relays:
            relay.end()
        worker.end()

    def figures(self) -> tuple[Counter[int], ...]:
        """The orders that were begun, committed, delivered, had an effect: each with how often."""
        return (
            self._ledger.count("begin"),
            self._numbers("order"),
            self._ledger.count("delivered"),
            self._numbers("effect"),
        )

    def close(self) -> None:
        """End what there is of it."""
        for timer in self._timers:
            timer.cancel()
        self._shop.close()

    def _numbers(self, table: str) -> Counter[int]:
        return Counter(number for (number,) in self._shop.rows(f"SELECT number FROM shop_{table}"))

    def _wait_for_some(self, word: str, number: int) -> None:
        """Return when that many more have the word, or after a while in which they do not."""
        enough = len(self._ledger.count(word)) + number
        deadline = time.monotonic() + LONGEST_SILENCE
        while len(self._ledger.count(word)) < enough and time.monotonic() < deadline:
            time.sleep(0.02)  # other processes write the ledger

    def _restart_database(self) -> None:
        self._database.stop()
        self._database.start()

    def _kill_database(self) -> None:
        self._database.kill()
        self._database.start()

    def _suspend(self, relay: Supervised) -> None:
        """Past its leases; meanwhile it may be killed."""
        self._timers.append(relay.suspend(LEASE + 1))

    def _take_pubsub_away(self, relay: Supervised) -> None:
        """For a while, in which the relay is killed with messages claimed."""
        self._proxy.cut()
        for seconds, function in (
            (self._chance.uniform(0, self._outage), relay.kill),
            (self._outage, self._proxy.resume),
        ):
            self._timers.append(threading.Timer(seconds, function))
            self._timers[-1].start()


@contextmanager
def a_round(
    project: Project,
    server: str,
    kind: str,
    orders: int,
    pace: int,
    outage: float,
    chance: random.Random,
) -> Iterator[Round]:
    """A round with a database and a way to ``server`` of its own; all is ended with the block."""
    with databases.RUNNING[kind]() as database, Proxy(server) as proxy:
        project.environment["PUBSUB_EMULATOR_HOST"] = proxy.address
        project.write("ledger", "")
        app = {"models.py": MODELS, "subs.py": SUBS, "application.py": APPLICATION}
        shop = Shop(project, server, database.url, app, outbox={"LEASE": LEASE})
        with closing(Round(shop, database, proxy, orders, pace, outage, chance)) as a_round:
            shop.make_tables()
            yield a_round


LONG = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("kinds", "orders", "pace", "outage"),
    [
        pytest.param(
            ("postgres", "mariadb", "mariadb"),
            *(150, 20, 5),
            marks=pytest.mark.timeout(300),
            id="3",
        ),
        pytest.param(("postgres",) * 20, 2000, 100, 60, marks=LONG, id="20-postgres"),
        pytest.param(("mariadb",) * 20, 2000, 100, 60, marks=LONG, id="20-mariadb"),
    ],
)
def test_an_event_is_published_if_and_only_if_its_transaction_commits_and_has_its_effect_once(
    tmp_path: Path,
    embedded_server: str,
    project_id: str,
    kinds: Sequence[str],
    orders: int,
    pace: int,
    outage: float,
) -> None:
    """A round for each of ``kinds``, the databases."""

    def play(seed: int, kind: str) -> None:
        project = Project(tmp_path / str(seed), embedded_server, f"{project_id}-{seed}")
        project.folder.mkdir()
        chance = random.Random(seed)
        with a_round(project, embedded_server, kind, orders, pace, outage, chance) as played:
            played.play()
            begun, committed, delivered, effects = played.figures()
        print(
            f"seed {seed}: {begun.total()} transactions, {committed.total()} committed, "
            f"{len(delivered)} events delivered, "
            f"{delivered.total() - len(delivered)} of them again, "
            f"{effects.total()} effects"
        )
        expected = Expected(again=committed)  # after each of the faults
        assert check_handled(delivered.elements(), committed, expected) == []
        assert check_handled(effects.elements(), committed) == []
        assert set(committed.values()) == {1}
        assert {number % 2 for number in committed} == {0}

    seeds = random.sample(range(1_000_000), len(kinds))
    print(f"seeds {seeds}")
    with ThreadPoolExecutor(AT_A_TIME) as executor:
        for _ in executor.map(play, seeds, kinds):
            pass
