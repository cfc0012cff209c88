"""What seeds have found with handlers of batches."""

from __future__ import annotations

import pytest

from tests.simulation.world import play_seed

FOUND = (
    # A key waited for ever for a batch that never ended,
    *(46, 48, 77, 132),
    # What had just become ready was handled before an earlier message that failed.
    *(109, 114, 138, 253, 288),
    # Of a batch that never ended, not the first message of a key was redelivered first.
    *(144, 153),
    # A key did not wait for a message that was lost, and whose redelivery was delayed.
    222,
    # What was nacked with a batch that took too long lost its place in its key.
    *(606, 1095),
    # It was received before an earlier one, so that Pub/Sub refused its ack again and again.
    619,
    # One followed a last attempt before Pub/Sub knew of its nack.
    *(1471, 5989),
    # Pub/Sub's order of a key was taken too soon.
    2606,
    # What was nacked together was redelivered before and after the nack was confirmed.
    *(940, 2082),
    # The checker asked for more than a delay that is sent again, and arrives too late.
    711,
)
"""Seeds that once broke a rule."""


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_seed_has_found_stays_mended(seed: int) -> None:
    result = play_seed(seed, "batches")

    assert result.broken == [], (
        f"python -m tests.simulation {seed} --handlers batches: {result.broken[:3]}"
    )
