"""From commit to Pub/Sub: ``python -m benchmarks.outbox_latency``.

A relay (``manage.py rele relay``), a publisher and the embedded server, each a process of its own.
The time of a commit is taken in the publisher as the transaction has committed, the other is the
message's ``publish_time``, which the server gives it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from statistics import quantiles

import grpc
from google.pubsub_v1 import types

from benchmarks.emulator_servers import RELE, running
from benchmarks.outbox_processes import Databases, children, environment
from benchmarks.outbox_relay import SUBSCRIPTION, topic
from tests.support.postgres import started

RATES = {1: 60.0, 50: 20.0, 500: 10.0}
"""Messages a second, and for how many seconds."""

TARGETS = {1: 100, 50: 100, 500: 15}
"""Milliseconds."""


def latencies(url: str, address: str, rate: int, seconds: float) -> list[float]:
    """Milliseconds of each message."""
    settings = environment(url, PUBSUB_EMULATOR_HOST=address)
    with topic(address), _relay(settings):
        with children(1, "publish-steadily", str(rate), environment=settings) as [publisher]:
            publisher.ask(seconds)
            commits = publisher.answer()
        published = _publish_times(address, set(commits))
    return [(published[event] - committed) * 1000 for event, committed in commits.items()]


@contextlib.contextmanager
def _relay(settings: dict[str, str]) -> Iterator[None]:
    relay = subprocess.Popen(
        [sys.executable, "manage.py", "rele", "relay"], env=settings, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        relay.terminate()
        relay.wait(30)


def _publish_times(address: str, events: set[str]) -> dict[str, float]:
    """Of all ``events``, in seconds since the epoch."""
    times: dict[str, float] = {}
    request = types.PullRequest(subscription=SUBSCRIPTION, max_messages=1000)
    with grpc.insecure_channel(address) as channel:
        pull = channel.unary_unary(
            "/google.pubsub.v1.Subscriber/Pull",
            request_serializer=types.PullRequest.serialize,
            response_deserializer=types.PullResponse.deserialize,
        )
        while not events <= times.keys():
            for received in pull(request, timeout=30).received_messages:
                message = received.message
                times[message.attributes["event_id"]] = message.publish_time.timestamp()
    return times


def main() -> int:
    print("| messages a second | messages | p50 | p95 | longest | target, p95 |")
    print(f"|{' --- |' * 6}", flush=True)
    with started() as server_url, running(RELE) as server:
        databases = Databases(server_url)
        for rate, seconds in RATES.items():
            with databases.new() as url:
                times = sorted(latencies(url, server.address, rate, seconds))
            percentiles = quantiles(times, n=20)
            print(
                f"| {rate} | {len(times):,} | {percentiles[9]:.0f} ms | {percentiles[18]:.0f} ms | "
                f"{times[-1]:.0f} ms | ≤ {TARGETS[rate]} ms |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
