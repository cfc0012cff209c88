"""How fast the outbox is sent: ``python -m benchmarks.outbox_relay``.

A relay works for some seconds on a small table and on a large one, in turn, each time as a process
of its own; the figures are medians of messages per second, without the first second of each relay,
and of the seconds until it sends its first messages. The embedded server, one more process, keeps
what is sent for a subscription. ``--plans`` shows what PostgreSQL does for each statement.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import psycopg
from google.pubsub_v1 import types

from benchmarks.emulator_servers import RELE, running
from benchmarks.emulator_stubs import PROJECT, stubs
from benchmarks.outbox_child import TOPIC
from benchmarks.outbox_plans import plans
from benchmarks.outbox_processes import Databases, Rows, children, environment
from tests.support.postgres import started

ROUNDS = 3
SECONDS = 10.0
FEW, MANY = 300_000, 1_000_000

SUBSCRIPTION = f"{PROJECT}/subscriptions/relayed"
_TOPIC_PATH = f"{PROJECT}/topics/{TOPIC}"

KEY = "(n % 200)::text"

DUE = Rows(FEW)


@dataclass(frozen=True)
class Load:
    """What a large table has besides the due messages, and how it came to that."""

    what: str
    rows: Rows
    due: Rows | None = DUE
    alone: Rows = DUE
    """What is on the small table."""
    keep_sent: bool = False
    deleted: bool = False
    """Whether ``rows`` are deleted again, and not vacuumed."""
    held: bool = False
    """Whether a transaction of before still sees them."""
    target: str = "≥ 0.9"


LOADS = {
    "waiting": Load("1,000,000 waiting", Rows(MANY), due=None),
    "ordered": Load(
        "1,000,000 waiting, of 200 keys in turn",
        Rows(MANY, ordering_key=KEY),
        due=None,
        alone=Rows(FEW, ordering_key=KEY),
    ),
    "keys": Load(
        "1,000,000 waiting, of 200 keys; alone: without keys",
        Rows(MANY, ordering_key=KEY),
        due=None,
        target="≥ 0.8",
    ),
    "sent": Load("1,000,000 sent, KEEP_SENT", Rows(MANY, state="1"), keep_sent=True),
    "later": Load(
        "1,000,000 delayed: they wait for their next attempt",
        Rows(MANY, state="3", next_attempt_at="now() + interval '1 hour'"),
    ),
    "parked": Load("1,000,000 parked", Rows(MANY, state="2")),
    "dead": Load("1,000,000 deleted, not vacuumed", Rows(MANY), deleted=True),
    "held": Load("the same, a transaction still sees them", Rows(MANY), deleted=True, held=True),
}


@contextlib.contextmanager
def loaded(databases: Databases, load: Load) -> Iterator[str]:
    """The URL of a database with that load."""
    with databases.new() as url, psycopg.connect(url, autocommit=True) as connection:
        table = "rele_outbox_outboxmessage"
        if load.deleted:
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        load.rows.write(url)
        with psycopg.connect(url) as old:
            if load.held:
                old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                old.execute(f"SELECT 1 FROM {table} LIMIT 1")
            if load.deleted:
                connection.execute(f"DELETE FROM {table}")
            if load.due:
                load.due.write(url, vacuum=False)
            yield url


@dataclass(frozen=True)
class Figures:
    """Of one relay, or medians of several."""

    rate: float
    """Messages per second."""
    start: float
    """Seconds until it sends its first messages."""


def figures(url: str, address: str, *, keep_sent: bool) -> Figures:
    """Of one relay, a process of its own."""
    more = {"PUBSUB_EMULATOR_HOST": address, "KEEP_SENT": str(keep_sent)}
    with children(1, "relay", environment=environment(url, **more)) as [relay]:
        relay.ask(SECONDS)
        return Figures(*relay.answer())


def measure(load: Load, databases: Databases, address: str) -> tuple[Figures, Figures]:
    """On the small table and on the large one."""
    small, large = [], []
    with loaded(databases, load) as url:
        for _ in range(ROUNDS):
            with databases.new() as small_url:
                load.alone.write(small_url)
                small.append(figures(small_url, address, keep_sent=load.keep_sent))
            large.append(figures(url, address, keep_sent=load.keep_sent))
            if load.due:
                load.due.write(url, vacuum=False)
    return _medians(small), _medians(large)


def _medians(relays: Sequence[Figures]) -> Figures:
    return Figures(median(each.rate for each in relays), median(each.start for each in relays))


@contextlib.contextmanager
def topic(address: str) -> Iterator[None]:
    """The topic that is sent to, with a subscription that keeps all of it, until the end."""
    with stubs(address) as bare:
        bare.call("Publisher/CreateTopic", types.Topic(name=_TOPIC_PATH))
        request = types.Subscription(name=SUBSCRIPTION, topic=_TOPIC_PATH)
        bare.call("Subscriber/CreateSubscription", request)
        yield
        deletion = types.DeleteSubscriptionRequest(subscription=SUBSCRIPTION)
        bare.call("Subscriber/DeleteSubscription", deletion)
        bare.call("Publisher/DeleteTopic", types.DeleteTopicRequest(topic=_TOPIC_PATH))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "loads",
        nargs="*",
        metavar="LOAD",
        default=["waiting", "sent"],
        help=f"of {', '.join(LOADS)}, about 2 minutes each (default: waiting sent)",
    )
    parser.add_argument("--plans", action="store_true", help="show the plans, and measure nothing")
    options = parser.parse_args(arguments)
    with started() as server_url, running(RELE) as server:
        databases = Databases(server_url)
        if not options.plans:
            print(f"| what | alone: {FEW:,} waiting | with it | ratio | target | start |")
            print(f"|{' --- |' * 6}", flush=True)
        for name in options.loads:
            load = LOADS[name]
            if options.plans:
                with loaded(databases, load) as url:
                    print(f"\n{load.what}\n\n{plans(url)}")
                continue
            with topic(server.address):
                small, large = measure(load, databases, server.address)
            print(
                f"| {load.what} | {small.rate:,.0f}/s | {large.rate:,.0f}/s "
                f"| {large.rate / small.rate:.2f} | {load.target} "
                f"| {small.start:.2f} s, with it {large.start:.2f} s |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
