from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from rele.deadletters.batches import MOST_MESSAGES, lanes
from rele.deadletters.letter import Letter
from rele.deadletters.replaying import Replay, Topics, discard
from rele.exceptions import ResourceError
from rele.messages.dead_letter_attributes import source_attributes

START = datetime(2026, 11, 26, tzinfo=timezone.utc)

SUBSCRIPTION, TOPIC = "projects/p/subscriptions/orders", "projects/p/topics/orders"


def letter(
    number: int, *, key: str = "", source: str | None = SUBSCRIPTION, data: bytes = b""
) -> Letter:
    published = START + timedelta(seconds=number)
    attributes = {} if source is None else source_attributes(source, published, 5)
    return Letter(str(number), data, {**attributes, "event_id": f"e-{number}"}, key, published)


class World:
    """A box and a publisher that note, in order, what is done by them."""

    def __init__(self, *, refuses: Iterable[str] = (), fails: Iterable[str] = ()) -> None:
        self.published: list[str] = []
        self.acked: list[str] = []
        self.refuses = frozenset(refuses)
        self.fails = frozenset(fails)
        self.fails_to_ack = False
        self._lock = threading.Lock()

    def publish(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> bool:
        assert topic == TOPIC
        ids = [each["attributes"]["event_id"].removeprefix("e-") for each in messages]
        if not self.fails.isdisjoint(ids):
            raise ResourceError("unavailable")
        with self._lock:
            if not self.refuses.isdisjoint(ids):
                return False
            self.published += ids
        return True

    def ack(self, letters: Iterable[Letter]) -> None:
        if self.fails_to_ack:
            raise ResourceError("lost")
        with self._lock:
            ids = [each.message_id for each in letters]
            assert set(ids) <= set(self.published), "acked before it was published"
            self.acked += ids

    def replay(self, letters: Iterable[Letter], **how: Any) -> Any:
        topics = Topics(lambda path: SimpleNamespace(topic=TOPIC), None)
        return Replay(self, self, topics, **how).run(letters)


def test_each_is_published_and_then_acked() -> None:
    world, done = World(), []

    outcome = world.replay(map(letter, range(250)), report=done.append)

    assert outcome.is_complete
    assert outcome.done == sum(done) == len(world.acked) == 250


def test_those_of_a_key_are_published_in_order() -> None:
    world = World()

    world.replay([letter(number, key="k") for number in reversed(range(250))])

    assert world.published == [str(number) for number in range(250)]


def test_one_that_is_invalid_keeps_no_other_from_being_replayed() -> None:
    world = World(refuses={"7"})

    outcome = world.replay(map(letter, range(20)))

    assert outcome.done == 19
    assert outcome.failures == {"Pub/Sub does not accept it as a message": 1}
    assert "7" not in world.acked


def test_what_is_not_accepted_is_not_acked() -> None:
    world = World(fails={"0"})

    outcome = world.replay([letter(number, key="k") for number in range(250)])

    assert (outcome.done, outcome.left) == (0, 250)
    assert str(outcome.error) == "unavailable"
    assert world.acked == []


def test_a_lost_ack_is_said() -> None:
    world = World()
    world.fails_to_ack = True

    outcome = world.replay([letter(1)])

    assert (outcome.done, outcome.unconfirmed) == (0, 1)
    assert not outcome.is_complete


def test_a_stop_lets_what_is_under_way_end() -> None:
    world, done = World(), []

    outcome = world.replay(
        [letter(number, key="k") for number in range(3 * MOST_MESSAGES)],
        report=done.append,
        is_stopped=lambda: bool(done),
    )

    assert (outcome.done, outcome.left) == (MOST_MESSAGES, 2 * MOST_MESSAGES)
    assert len(world.acked) == MOST_MESSAGES


@pytest.mark.parametrize(
    ("found", "source", "reason"),
    [
        (None, SUBSCRIPTION, f"{SUBSCRIPTION} does not exist"),
        (SimpleNamespace(topic="_deleted-topic_"), SUBSCRIPTION, f"{SUBSCRIPTION} does not exist"),
        (None, None, "it does not say which subscription"),
    ],
)
def test_without_a_topic_it_stays(found: Any, source: str | None, reason: str) -> None:
    world = World()

    outcome = Replay(world, world, Topics(lambda path: found, None)).run([letter(1, source=source)])

    [(text, number)] = outcome.failures.items()
    assert text.startswith(reason)
    assert number == 1
    assert world.published == []


def test_one_that_does_not_say_its_source_goes_to_the_topic_of_the_subscription_named() -> None:
    world = World()
    topics = Topics(lambda path: SimpleNamespace(topic=TOPIC), SUBSCRIPTION)

    assert Replay(world, world, topics).run([letter(1, source=None)]).done == 1


def test_large_letters_are_published_in_several_requests() -> None:
    large = [letter(number, data=bytes(1_500_000)) for number in range(5)]

    batches = [batch for lane in lanes(large, lambda each: TOPIC) for batch in lane]

    assert [len(batch.letters) for batch in batches] == [2, 2, 1]


def test_discarding_stops_between_requests() -> None:
    world, done = World(), []
    letters = [letter(number) for number in range(1500)]
    world.published = [each.message_id for each in letters]

    outcome = discard(world, letters, is_stopped=lambda: bool(done), report=done.append)

    assert (outcome.done, outcome.left) == (1000, 500)


def test_discarding_says_what_is_left_after_an_error() -> None:
    world = World()
    world.fails_to_ack = True

    outcome = discard(world, [letter(1)])

    assert (outcome.done, outcome.left, str(outcome.error)) == (0, 1, "lost")
