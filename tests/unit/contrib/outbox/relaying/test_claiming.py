"""What a relay finds to send; ``test_postgres.py`` has what takes two connections."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from rele.contrib.outbox.models import OutboxMessage
from rele.contrib.outbox.relaying.claiming import claim

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=1)


def write(event_id: str, ordering_key: str = "", due_in: timedelta = timedelta()) -> OutboxMessage:
    return OutboxMessage.objects.create(
        event_id=event_id,
        topic="photos",
        data=b"1",
        ordering_key=ordering_key,
        next_attempt_at=timezone.now() + due_in,
    )


def claimed(limit: int = 100) -> list[str]:
    return [message.event_id for message in claim("default", limit)]


def test_what_waits_behind_the_next_attempt_of_its_key_holds_up_nothing_else() -> None:
    write("first of a", "a", LATER)
    for number in range(6):
        write(f"{number} of a", "a")
    write("of b", "b")
    write("of no key")

    assert claimed(limit=2) == ["of no key", "of b"]


def test_it_is_put_off_until_that_attempt_and_keeps_its_order() -> None:
    first = write("first of a", "a", LATER)
    for number in range(5):
        write(f"{number} of a", "a")
    assert claimed(limit=2) == []

    assert set(OutboxMessage.objects.values_list("next_attempt_at", flat=True)) == {
        first.next_attempt_at
    }

    OutboxMessage.objects.update(next_attempt_at=timezone.now())
    assert claimed() == ["first of a", *(f"{number} of a" for number in range(5))]


def test_a_late_first_of_a_key_that_is_due_again_is_found_behind_many() -> None:
    for number in range(5):
        write(f"{number} of a", "a", timedelta(seconds=-1))
    first = OutboxMessage.objects.order_by("id")[0]
    OutboxMessage.objects.filter(id=first.id).update(next_attempt_at=timezone.now())

    assert claimed(limit=2)[0] == "0 of a"


def test_the_same_key_of_another_topic_is_another() -> None:
    write("first of a", "a", LATER)
    other = write("other topic", "a")
    OutboxMessage.objects.filter(id=other.id).update(topic="albums")

    assert claimed() == ["other topic"]


def test_resting_topics_are_left_alone() -> None:
    write("of photos", "a")
    OutboxMessage.objects.create(
        event_id="of orders", topic="orders", data=b"1", next_attempt_at=timezone.now()
    )

    assert [message.event_id for message in claim("default", 9, ["photos"])] == ["of orders"]
