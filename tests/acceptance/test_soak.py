"""Everything at once, for half an hour: nothing that Pub/Sub accepted is missing at the end.

``RELE_SOAK_MINUTES`` makes it shorter or longer than its 30 minutes.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledger import Expected, check_handled
from tests.support.soak import BACKLOG_WHEN_CALM, RATE, Figures, Soak

if not sys.platform.startswith("linux"):
    pytest.skip("What a process takes is read from /proc.", allow_module_level=True)

SECONDS = 60 * float(os.environ.get("RELE_SOAK_MINUTES", "30"))
SETTLED_AFTER = SECONDS / 6
"""Seconds: minute 5 of 30. By then a worker has the size that it keeps."""

PAUSE = (1, 15) if SECONDS >= 600 else (1, 3)
"""Seconds between two faults."""

TO_CATCH_UP = 180
"""Seconds."""

pytestmark = [
    pytest.mark.both_engines,
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS + 3 * TO_CATCH_UP + 120),
]


@pytest.fixture
def seed() -> int:
    return random.randrange(1_000_000)


@pytest.fixture
def soak(tmp_path: Path, seed: int) -> Iterator[Soak]:
    soak = Soak(tmp_path, random.Random(seed))
    try:
        soak.start()
        yield soak
    finally:
        soak.kill_all()


def let_faults_happen(soak: Soak, chance: random.Random, until: float) -> Counter[str]:
    """Let them happen one after the other, each as often as any other; return how often."""
    happened: Counter[str] = Counter()
    deck: list[str] = []
    while deck or time.monotonic() < until:
        if not deck:
            deck = chance.sample(list(soak.faults), len(soak.faults))
        fault = deck.pop()
        soak.faults[fault]()
        happened[fault] += 1
        time.sleep(chance.uniform(*PAUSE))
    return happened


def figures_when_calm(soak: Soak) -> Figures:
    soak.wait_for_backlog(BACKLOG_WHEN_CALM, TO_CATCH_UP)
    return soak.steady.figures()


def test_nothing_is_missing_after_half_an_hour_of_faults(
    soak: Soak, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(seed)
    began = time.monotonic()
    faults = let_faults_happen(soak, chance, began + SETTLED_AFTER)
    settled = figures_when_calm(soak)
    faults += let_faults_happen(soak, chance, began + SECONDS)
    ended = figures_when_calm(soak)

    soak.publisher.stop(TO_CATCH_UP)
    soak.wait_for_backlog(0, TO_CATCH_UP)
    for worker in (soak.steady, soak.other):
        worker.stop(10)

    accepted, handled = soak.accepted(), soak.handled()
    missing = accepted.items() - set(handled)
    duplicates = len(handled) - len(set(handled))
    with capsys.disabled():
        print(
            f"\nThe soak: {SECONDS / 60:.3g} minutes at {RATE} messages/s, seed {seed}\n"
            f"  accepted by Pub/Sub     {len(accepted):,}\n"
            f"  of these missing        {len(missing):,}\n"
            f"  handled once too often  {duplicates:,}\n"
            f"  faults                  {sum(faults.values())}: "
            + ", ".join(f"{number} x {fault}" for fault, number in sorted(faults.items()))
            + f"\n  worker at {SETTLED_AFTER / 60:.2g} min       {settled}\n"
            f"  worker at the end       {ended}\n"
            f"  lines that it logged    {len(soak.steady.log.read_text().splitlines())}\n"
        )
    numbers = {number for number, _ in handled}
    unconfirmed = numbers - accepted.keys()  # accepted, though the publisher got no answer
    expected = Expected(again=numbers)  # after each of the faults
    in_order = [number for number, _ in handled]
    assert check_handled(in_order, accepted.keys() | unconfirmed, expected) == []
    assert missing == set()
    assert len(accepted) >= RATE * SECONDS / 2
    assert len(numbers) == len(set(handled))
    assert set(faults) == set(soak.faults)
    assert ended.megabytes <= 1.1 * settled.megabytes
    assert ended.threads <= settled.threads + 2
    assert ended.files <= settled.files + 4
