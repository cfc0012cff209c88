"""Seeds that have found something. What each found is proved without a seed in ``tests/unit``."""

from __future__ import annotations

import pytest

from tests.simulation.world import play_seed

FOUND = {
    67: "an extension that arrived late undid a delay (test_lease_keeper.py)",
    30: "receipts confirmed in another order began a key out of order (test_confirmed_receipts.py)",
    46: "a handler that never returned stopped its key for ever (test_ordered_keys.py)",
    132: "and so did one whose lease had been lost (test_ordered_keys.py)",
    77: "held messages were nacked and redelivered as fast as the network (test_ordered_keys.py)",
    161: "a draining consumer was to open a stream, and acted without a pause",
    192: "what follows held messages that were nacked began before them (test_ordered_keys.py)",
    2006: "and so did they before one that failed and was redelivered late (test_ordered_keys.py)",
    2463: "a key went on before its last attempt was forwarded (test_ordered_keys.py)",
    2540: "a message began before a lost one without a receipt (test_confirmed_receipts.py)",
    2741: "what was redelivered very late gave way to one after it (test_ordered_keys.py)",
    640: "a lost message lost its place, too, and the ones after it began (test_ordered_keys.py)",
    1383: "redelivered half before and half after its nack was confirmed (test_ordered_keys.py)",
    2676: "and so was this, while a delay of the first message was under way",
    2606: "messages that were lost together were redelivered one by one, in any order",
    3498: "what a cut connection had kept overtook a missing message (test_ordered_keys.py)",
    54: "redelivered acked messages had changed the order of a key (test_ordered_keys.py)",
    7638: "an extension without an answer had prolonged a lease after all (test_ordered_keys.py)",
    2610: "acked messages, redelivered as well, took the place of a delayed one",
    6525: "a key went on before the delay of a last attempt had begun (test_ordered_keys.py)",
    7709: "a handler that never returned and lost its lease stopped its key (test_ordered_keys.py)",
    4016: "an acked copy lost its place before Pub/Sub refused the ack (test_ordered_keys.py)",
    8644: "a last attempt whose lease was lost was taken for a dead letter (test_ordered_keys.py)",
    14972: "and so was one whose nack Pub/Sub refused (test_ordered_keys.py)",
    7312: "a key went on before the nack of a last attempt had arrived (test_ordered_keys.py)",
    286: "what was sent before a nack was begun after it (test_ordered_keys.py)",
}


@pytest.mark.parametrize("seed", FOUND, ids=str)
def test_what_a_seed_has_found_stays_mended(seed: int) -> None:
    assert play_seed(seed).broken == [], FOUND[seed]
