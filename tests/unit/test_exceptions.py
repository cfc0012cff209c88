from __future__ import annotations

import pickle

import pytest

from rele.exceptions import PublisherFull


@pytest.mark.parametrize(
    ("full", "limit"),
    [
        (PublisherFull(100, 5_000, 100, 10_000), r"\['max_messages'\] allows 100\."),
        (PublisherFull(7, 9_900, 100, 10_000), r"\['max_bytes'\] allows 10000\."),
    ],
)
def test_a_full_publisher_says_what_is_outstanding_and_which_limit_it_has_reached(
    full: PublisherFull, limit: str
) -> None:
    outstanding = f"{full.messages} messages with {full.size} bytes are outstanding"

    with pytest.raises(PublisherFull, match=rf"{outstanding} .*RELE\['PUBLISHER_LIMITS'\]{limit}"):
        raise full
    assert str(full) in repr(full).replace("\\'", "'")


def test_a_full_publisher_can_be_pickled_for_another_process() -> None:
    full = PublisherFull(100, 5_000, 100, 10_000)

    assert str(pickle.loads(pickle.dumps(full))) == str(full)
