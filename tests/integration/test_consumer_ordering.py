"""Ordering keys whose handlers fail, with Relé's own consumer, on both emulators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from grpc import StatusCode

from tests.support.handled import consumed
from tests.support.polling import wait_until
from tests.support.pubsub_topic import TopicWithSubscription
from tests.support.pull_server import PullServer

MakeTopic = Callable[..., TopicWithSubscription]


@pytest.fixture
def make_topic(pubsub: str) -> Iterator[MakeTopic]:
    """Create a topic with an ordered subscription."""
    made: list[TopicWithSubscription] = []

    def make(**fields: Any) -> TopicWithSubscription:
        made.append(
            TopicWithSubscription(
                enable_message_ordering=True, **{"ack_deadline_seconds": 10, **fields}
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


class FailingFirst:
    """A handler that fails the first delivery of one message, and acks all others."""

    def __init__(self, data: bytes, fail: Callable[[Any], object]) -> None:
        self.acked: list[bytes] = []
        self.begun: list[bytes] = []
        self._data = data
        self._fail = fail
        self._has_failed = False

    def __call__(self, message: Any) -> None:
        self.begun.append(message.data)
        if message.data == self._data and not self._has_failed:
            self._has_failed = True
            self._fail(message)
            return
        self.acked.append(message.data)
        message.ack()


def nack(message: Any) -> None:
    message.nack()


def retry_later(message: Any) -> None:
    """As ``raise Retry(delay=1)``."""
    message.modify_ack_deadline(1)
    message.drop()


NUMBERS = [b"%d" % number for number in range(6)]


@pytest.mark.parametrize("fail", [nack, retry_later])
@pytest.mark.parametrize("policy", [None, 5], ids=["no dead letters", "dead letters"])
@pytest.mark.parametrize("failing", [0, 3])
def test_order_survives_a_handler_that_fails(
    make_topic: MakeTopic, fail: Callable[[Any], object], policy: int | None, failing: int
) -> None:
    topic = make_topic(max_delivery_attempts=policy)
    handler = FailingFirst(NUMBERS[failing], fail)
    topic.publish(*NUMBERS, key="key")
    with consumed(topic.name, handler, threads=4, max_attempts=policy):
        wait_until(lambda: len(handler.acked) >= 6, seconds=30)

    assert handler.acked == NUMBERS, "each once, and in order"
    assert handler.begun == [*NUMBERS[: failing + 1], *NUMBERS[failing:]]


def test_other_keys_continue_while_one_waits(make_topic: MakeTopic) -> None:
    topic = make_topic()
    handler = FailingFirst(b"0", retry_later)
    topic.publish(b"0", b"1", key="key")
    topic.publish(*[b"x"] * 50, key="other")
    with consumed(topic.name, handler, threads=2):
        wait_until(lambda: len(handler.acked) >= 52, seconds=30)

    assert handler.acked == [*[b"x"] * 50, b"0", b"1"]


class PoisonHead:
    """A handler that nacks one message at each of its first ``failures`` deliveries."""

    def __init__(self, failures: int) -> None:
        self.attempts: list[int] = []
        """Of the poison message."""
        self.acked: list[bytes] = []
        self.attempts_of_others: set[int] = set()
        self._failures = failures

    def __call__(self, message: Any) -> None:
        if message.data == b"poison":
            self.attempts.append(message.delivery_attempt)
            if len(self.attempts) <= self._failures:
                message.nack()
                return
        else:
            self.attempts_of_others.add(message.delivery_attempt)
        self.acked.append(message.data)
        message.ack()


FOLLOWERS = [b"%d" % number for number in range(50)]


# Where a message with an ordering key has to go to the dead-letter topic, Google's emulator ends
# every stream of the subscription with UNKNOWN from then on.
@pytest.mark.parametrize("pubsub_server", ["embedded"], indirect=True)
def test_a_poison_head_takes_no_follower_along(make_topic: MakeTopic) -> None:
    """Nacked with it, 50 followers would use up their delivery attempts, and be dead-lettered."""
    topic = make_topic(max_delivery_attempts=5)
    handler = PoisonHead(failures=5)
    topic.publish(b"poison", *FOLLOWERS, key="key")
    with consumed(topic.name, handler, threads=4, max_attempts=5):
        wait_until(lambda: len(handler.acked) >= 50, seconds=30)
        dead: list[bytes] = []
        wait_until(lambda: bool(dead) or dead.extend(topic.dead_letters()) or bool(dead), 20)

    assert [*dead, *topic.dead_letters()] == [b"poison"]
    assert handler.attempts == [1, 2, 3, 4, 5]
    assert handler.acked == FOLLOWERS
    assert handler.attempts_of_others == {1}


def test_followers_of_a_poison_head_use_no_delivery_attempts(make_topic: MakeTopic) -> None:
    topic = make_topic(max_delivery_attempts=5)
    handler = PoisonHead(failures=4)
    topic.publish(b"poison", *FOLLOWERS, key="key")
    with consumed(topic.name, handler, threads=4, max_attempts=5):
        wait_until(lambda: len(handler.acked) >= 51, seconds=30)

    assert handler.attempts == [1, 2, 3, 4, 5]
    assert handler.acked == [b"poison", *FOLLOWERS]
    assert handler.attempts_of_others == {1}


def test_followers_keep_their_leases_while_they_wait(pull_server: PullServer) -> None:
    handler = FailingFirst(b"0", nack)
    with consumed("orders", handler, max_attempts=5):
        (stream,) = pull_server.streams.wait_for(1)
        head, *followers = stream.deliver(*keyed(NUMBERS[:3], attempt=1))
        pull_server.wait_for_request(purpose="nack", ack_ids=head)
        assert handler.begun == [b"0"]
        assert not any(
            purpose != "modify"
            for ack_id in followers
            for purpose, _ in pull_server.requests_of(ack_id)
        )
        # A redelivered copy replaces the held one.
        again = stream.deliver(*keyed(NUMBERS[:3], attempt=2))
        acked = pull_server.acked.wait_for(3)

    assert acked == again
    assert handler.begun == [b"0", b"0", b"1", b"2"]


def test_without_a_dead_letter_policy_followers_are_nacked_in_order(
    pull_server: PullServer,
) -> None:
    handler = FailingFirst(b"0", nack)
    with consumed("orders", handler):
        (stream,) = pull_server.streams.wait_for(1)
        ids = stream.deliver(*keyed(NUMBERS))
        pull_server.wait_for_request(purpose="nack", ack_ids=ids[-1])

    nacked = [
        ack_id
        for each in pull_server.requests.items
        if each.purpose == "nack"
        for ack_id in each.ack_ids
    ]
    assert nacked == ids
    assert handler.begun == [b"0"]


def test_what_is_held_for_too_many_is_nacked_and_logged(
    pull_server: PullServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It would fill ``max_messages``, so that other keys had to wait as well."""
    handler = FailingFirst(b"0", nack)
    with consumed("orders", handler, max_attempts=5, max_messages=20), caplog.at_level(30, "rele"):
        (stream,) = pull_server.streams.wait_for(1)
        ids = stream.deliver(*keyed([b"%d" % number for number in range(20)], attempt=1))
        pull_server.wait_for_request(purpose="nack", ack_ids=ids[0])
        pull_server.wait_for_request(purpose="nack", ack_ids=ids[-1])

        assert handler.begun == [b"0"]
        nacked = {
            ack_id
            for each in pull_server.requests.items
            if each.purpose == "nack"
            for ack_id in each.ack_ids
        }
        assert nacked == {ids[0], *ids[11:]}, "the newest, so that half of max_messages is held"
        assert "orders" in caplog.text


def test_followers_are_nacked_at_a_stop(pull_server: PullServer) -> None:
    handler = FailingFirst(b"0", nack)
    with consumed("orders", handler, max_attempts=5):
        (stream,) = pull_server.streams.wait_for(1)
        ids = stream.deliver(*keyed(NUMBERS, attempt=1))
        pull_server.wait_for_request(purpose="nack", ack_ids=ids[0])

    assert all(("nack", 0) in pull_server.requests_of(ack_id) for ack_id in ids)
    assert handler.begun == [b"0"]


def test_a_failing_key_survives_a_new_stream(pull_server: PullServer) -> None:
    handler = FailingFirst(b"0", nack)
    with consumed("orders", handler, max_attempts=5):
        (stream,) = pull_server.streams.wait_for(1)
        stream.deliver(*keyed(NUMBERS[:2], attempt=1))
        pull_server.wait_for_request(purpose="nack")
        stream.end(StatusCode.UNAVAILABLE)
        second = pull_server.streams.wait_for(2)[1]
        second.deliver(*keyed(NUMBERS[:1], attempt=2))
        pull_server.acked.wait_for(2)

    assert handler.begun == [b"0", b"0", b"1"]


def keyed(data: list[bytes], attempt: int = 0) -> list[dict[str, Any]]:
    """Deliveries of messages of one key."""
    return [
        {"data": each, "key": "key", "message_id": each.decode(), "attempt": attempt}
        for each in data
    ]
