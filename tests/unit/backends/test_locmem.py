from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

import rele
from rele.backends import Message, locmem
from tests.support.backends import futures_of


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    locmem.messages.clear()
    yield
    locmem.messages.clear()


def test_messages_are_kept_in_their_order_with_ids_of_their_own() -> None:
    messages = [Message("photos", b"1"), Message("orders", b"2", {"lang": "en"})]

    futures = futures_of(locmem.LocMemBackend(), messages)

    assert locmem.messages == messages
    assert [future.result(timeout=0) for future in futures] == ["1", "2"]


def test_all_backends_of_a_process_keep_them_in_one_list() -> None:
    for number in (b"1", b"2"):
        locmem.LocMemBackend().send([Message("photos", number)])

    assert [message.data for message in locmem.messages] == [b"1", b"2"]


def test_rele_publishes_to_it_by_the_setting() -> None:
    rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.backends.locmem.LocMemBackend"})

    rele.publish("photos", {"id": 1}, lang="en", ordering_key="c-1")

    [message] = locmem.messages
    assert (message.topic, message.json(), message.ordering_key) == ("photos", {"id": 1}, "c-1")
    assert message.attributes.keys() == {"lang", "published_at"}


def test_what_is_sent_later_is_there_until_it_is_cancelled() -> None:
    rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.backends.locmem.LocMemBackend"})
    rele.publish("photos", 1)
    first = rele.publish_later("photos", 2, when=timedelta(hours=1))
    second = rele.publish_later("photos", 3, when=timedelta(hours=2), event_id="mine")

    assert [(message.json(), message.when) for message in locmem.messages] == [
        (1, None),
        (2, timedelta(hours=1)),
        (3, timedelta(hours=2)),
    ]
    assert second.event_id == "mine"
    assert first.cancel()
    assert not first.cancel()
    assert not rele.cancel_scheduled("unknown")
    assert [message.json() for message in locmem.messages] == [1, 3]
