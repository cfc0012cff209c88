"""Whatever happens in whatever order: each message has one outcome, and keys keep their order."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rele.engine.native.publishing.lanes import Request
from rele.engine.native.publishing.outgoing import Outgoing
from rele.engine.native.publishing.retrying import Kind
from rele.engine.publisher_options import PublisherOptions
from tests.support.publish_core import TimedOutError, VirtualPublisher, failure

TOPICS = ("orders", "invoices", "mails")
KEYS = ("", "a", "b", "c")
OPTIONS = PublisherOptions(max_messages=5, max_bytes=2000, max_wait=0.01, retry_for=60.0)


class Publishing(RuleBasedStateMachine):
    """Publishes, answers, outages and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.publisher = VirtualPublisher(OPTIONS)
        self.handed: list[Outgoing] = []
        self.accepted: list[Outgoing] = []
        self.seen = 0

    @rule(
        topic=st.sampled_from(TOPICS),
        key=st.sampled_from(KEYS),
        size=st.sampled_from((1, 100, 900, 3000)),
        urgent=st.booleans(),
        number=st.integers(1, 12),
    )
    def publish(self, topic: str, key: str, size: int, urgent: bool, number: int) -> None:
        for _ in range(number):
            self.handed.append(self.publisher.hand_over(topic, key, size, urgent=urgent))
        self.publisher.act()

    @rule(seconds=st.sampled_from((0.001, 0.01, 0.5, 3.0, 20.0, 70.0)))
    def advance(self, seconds: float) -> None:
        self.publisher.advance(seconds)

    @rule()
    def flush(self) -> None:
        self.publisher.core.flush()
        self.publisher.act()

    @precondition(lambda self: self.publisher.under_way)
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        self._accept(data.draw(st.sampled_from(self.publisher.under_way)))

    @precondition(lambda self: self.publisher.under_way)
    @rule(data=st.data(), kind=st.sampled_from(list(Kind)))
    def fail(self, data: st.DataObject, kind: Kind) -> None:
        self.publisher.fail(data.draw(st.sampled_from(self.publisher.under_way)), failure(kind))

    @precondition(lambda self: self.publisher.unreported)
    @rule()
    def report(self) -> None:
        self.publisher.report()

    @invariant()
    def bounds_hold(self) -> None:
        under_way = self.publisher.under_way
        assert len(under_way) <= 32
        for topic in TOPICS:
            assert sum(request.topic == topic for request in under_way) <= 4
        keyed = [(each.topic, each.lane.key) for each in under_way if each.lane.key]
        assert len(keyed) == len(set(keyed)), "two requests of an ordering key are under way"
        messages = [message for each in under_way for message in each.messages]
        assert len(messages) == len(set(messages)), "a message is in two requests under way"

    @invariant()
    def requests_are_as_they_must_be(self) -> None:
        failed = {m for m, result in self.publisher.outcomes.items()}
        for request in self.publisher.sent[self.seen :]:
            messages = request.messages
            assert {(m.topic, m.key) for m in messages} == {(request.topic, request.lane.key)}
            assert len(messages) <= OPTIONS.max_messages
            assert len(messages) == 1 or sum(m.size for m in messages) <= OPTIONS.max_bytes
            assert not failed & set(messages), "sent after its outcome was reported"
        self.seen = len(self.publisher.sent)

    @invariant()
    def never_stuck(self) -> None:
        """Something is under way, or due, or being reported, while messages are outstanding."""
        publisher = self.publisher
        if publisher.core.outstanding:
            assert publisher.under_way or publisher.unreported or publisher.core.next_due()

    def teardown(self) -> None:
        """Pub/Sub accepts everything from now on."""
        for _ in range(10_000):
            if not (self.publisher.core.outstanding or self.publisher.unreported):
                break
            while self.publisher.under_way:
                self._accept(self.publisher.under_way[0])
            self.publisher.report_all()
            self.publisher.advance(0.01)
        self.publisher.report_all()
        assert set(self.publisher.outcomes) == set(self.handed), "a message has no outcome"
        self._keys_kept_their_order()

    def _accept(self, request: Request) -> None:
        self.accepted += request.messages
        self.publisher.accept(request)

    def _keys_kept_their_order(self) -> None:
        position = {message: number for number, message in enumerate(self.handed)}
        for topic in TOPICS:
            for key in KEYS[1:]:
                order = [position[m] for m in self.accepted if (m.topic, m.key) == (topic, key)]
                assert order == sorted(order), "an ordering key was accepted out of order"


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_all_is_sent_soon_after_an_outage() -> None:
    """However long the outage, and whatever the jitter: within 5 s and a round trip."""
    for seed in range(20):
        publisher = VirtualPublisher(seed=seed)
        chance = random.Random(seed)
        for _ in range(200):
            publisher.publish(chance.choice(TOPICS), chance.choice(KEYS))
            publisher.advance(chance.random())
            while publisher.under_way:
                publisher.fail()
        publisher.advance(5.0)
        assert not any(isinstance(each, TimedOutError) for each in publisher.outcomes.values())
        began = publisher.now
        while publisher.core.outstanding:
            while publisher.under_way:
                publisher.accept()
            publisher.report_all()
            publisher.advance(0.1)
        assert publisher.now - began <= 5.1
