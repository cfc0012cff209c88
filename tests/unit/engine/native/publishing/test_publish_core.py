from __future__ import annotations

import logging

import pytest

from rele.engine.native.publishing.retrying import Failure, Kind
from rele.engine.publisher_options import PublisherOptions
from tests.support.publish_core import TimedOutError, VirtualPublisher, failure


@pytest.fixture
def publisher() -> VirtualPublisher:
    return VirtualPublisher(jitter=lambda: 1.0)


class TestWhenAMessageIsSent:
    def test_at_once_where_nothing_of_its_topic_is_under_way(
        self, publisher: VirtualPublisher
    ) -> None:
        publisher.publish()

        assert publisher.sizes() == [1]

    def test_it_is_gathered_while_a_request_is_under_way(self, publisher: VirtualPublisher) -> None:
        publisher.publish()
        publisher.publish()
        publisher.publish()

        assert publisher.sizes() == [1]
        publisher.advance(0.0101)
        assert publisher.sizes() == [1, 2]

    def test_it_is_gathered_no_longer_than_the_request_is_under_way(
        self, publisher: VirtualPublisher
    ) -> None:
        publisher.publish()
        publisher.publish()
        publisher.accept()

        assert publisher.sizes() == [1, 1]

    def test_a_full_request_does_not_wait(self, publisher: VirtualPublisher) -> None:
        publisher.publish()
        for _ in range(1000):
            publisher.publish()

        assert publisher.sizes() == [1, 1000]

    def test_a_request_is_full_by_its_bytes(self, publisher: VirtualPublisher) -> None:
        publisher.publish()
        for _ in range(10):
            publisher.publish(size=100_000)

        assert publisher.sizes() == [1, 9]

    def test_a_message_that_somebody_waits_for_is_not_gathered(
        self, publisher: VirtualPublisher
    ) -> None:
        publisher.publish()
        publisher.publish(urgent=True)

        assert publisher.sizes() == [1, 1]

    def test_a_flush_sends_what_was_gathered(self, publisher: VirtualPublisher) -> None:
        publisher.publish()
        publisher.publish()
        publisher.core.flush()
        publisher.act()

        assert publisher.sizes() == [1, 1]

    def test_a_topic_has_four_requests_under_way(self, publisher: VirtualPublisher) -> None:
        for _ in range(6):
            publisher.publish(urgent=True)

        assert publisher.sizes() == [1, 1, 1, 1]
        publisher.accept()
        assert publisher.sizes() == [1, 1, 1, 1, 2]

    def test_an_ordering_key_has_one(self, publisher: VirtualPublisher) -> None:
        for _ in range(3):
            publisher.publish(key="a", urgent=True)
        publisher.publish(key="b")

        assert publisher.sizes() == [1, 1]
        assert [request.lane.key for request in publisher.sent] == ["a", "b"]

    def test_a_process_has_32(self, publisher: VirtualPublisher) -> None:
        for number in range(40):
            publisher.publish(f"topic-{number}")

        assert len(publisher.under_way) == 32
        publisher.accept()
        assert len(publisher.under_way) == 32


class TestRetries:
    def test_a_passing_failure_is_sent_again_after_a_pause(
        self, publisher: VirtualPublisher
    ) -> None:
        publisher.publish()
        publisher.fail()

        assert len(publisher.sent) == 1
        publisher.advance(0.11)
        assert publisher.sizes() == [1, 1]

    def test_the_pauses_grow_up_to_five_seconds(self, publisher: VirtualPublisher) -> None:
        publisher.publish()
        pauses = []
        for _ in range(9):
            failed_at = publisher.now
            publisher.fail()
            publisher.advance(5.0)
            pauses.append(round(publisher.sent[-1].sent_at - failed_at, 2))

        assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]

    def test_a_failing_topic_has_one_request_under_way(self, publisher: VirtualPublisher) -> None:
        for _ in range(4):
            publisher.publish(urgent=True)
        for _ in range(4):
            publisher.fail()
        publisher.advance(10)

        assert len(publisher.under_way) == 1
        publisher.accept()
        assert len(publisher.under_way) == 3

    def test_requests_that_fail_together_count_once(self, publisher: VirtualPublisher) -> None:
        for _ in range(4):
            publisher.publish(urgent=True)
        failed_at = publisher.now
        for _ in range(4):
            publisher.fail()
        publisher.advance(5)

        assert publisher.sent[4].sent_at - failed_at == pytest.approx(0.1)

    def test_a_failing_topic_does_not_delay_another(self, publisher: VirtualPublisher) -> None:
        publisher.publish("orders")
        publisher.fail()
        publisher.publish("mails")

        assert publisher.under_way[0].topic == "mails"

    def test_failing_topics_leave_room_for_the_others(self, publisher: VirtualPublisher) -> None:
        for number in range(40):
            publisher.publish(f"topic-{number}")
        for _ in range(40):
            publisher.fail()
        publisher.advance(5)

        assert len(publisher.under_way) == 16
        publisher.publish("orders")
        assert publisher.under_way[-1].topic == "orders"

    def test_an_exhausted_quota_has_a_longer_pause(self, publisher: VirtualPublisher) -> None:
        failed_at = publisher.now
        publisher.publish()
        publisher.fail(failure=failure(Kind.EXHAUSTED))
        publisher.advance(5)

        assert publisher.sent[1].sent_at - failed_at == pytest.approx(1.0)

    def test_the_quota_of_an_ordering_key_is_its_own(self, publisher: VirtualPublisher) -> None:
        publisher.publish(key="a")
        publisher.fail(failure=failure(Kind.EXHAUSTED))
        publisher.publish(key="b")
        publisher.publish()

        assert [request.lane.key for request in publisher.under_way] == ["b", ""]

    def test_one_recovered_topic_wakes_the_others(self, publisher: VirtualPublisher) -> None:
        for topic in ("orders", "mails"):
            publisher.publish(topic)
        for _ in range(8):
            while publisher.under_way:
                publisher.fail()
            publisher.advance(5)
        orders, mails = publisher.under_way
        publisher.fail(mails)
        publisher.accept(orders)
        publisher.advance(1.01)

        assert [request.topic for request in publisher.under_way] == ["mails"]

    def test_a_message_is_reported_failed_after_the_time_for_retries(
        self, publisher: VirtualPublisher
    ) -> None:
        message = publisher.publish()
        while publisher.now < 1602 and not publisher.unreported:
            while publisher.under_way:
                publisher.fail()
            publisher.advance(1)
        publisher.report_all()

        assert isinstance(publisher.outcomes[message], TimedOutError)
        assert 1600 <= publisher.now <= 1606

    def test_but_not_while_an_attempt_is_under_way(self, publisher: VirtualPublisher) -> None:
        message = publisher.publish()
        publisher.advance(700)
        assert publisher.unreported == []
        publisher.accept()
        publisher.report_all()

        assert isinstance(publisher.outcomes[message], str)

    def test_the_deadline_of_an_attempt_grows_with_its_bytes(
        self, publisher: VirtualPublisher
    ) -> None:
        publisher.publish("orders")
        publisher.publish("mails", size=9_000_000)

        assert [request.timeout for request in publisher.sent] == [60.0, 90.0]


class TestFinalFailures:
    def test_a_final_failure_is_reported_at_once(self, publisher: VirtualPublisher) -> None:
        message = publisher.publish()
        publisher.fail(failure=failure(Kind.FINAL, "forbidden"))
        publisher.report_all()

        assert str(publisher.outcomes[message]) == "forbidden"
        assert publisher.core.next_due() is None

    def test_one_bad_message_takes_no_other_with_it(self, publisher: VirtualPublisher) -> None:
        publisher.publish("other")
        messages = [publisher.hand_over() for _ in range(8)]
        bad = messages[5]
        publisher.act()
        while publisher.under_way:
            request = publisher.under_way[0]
            if bad in request.messages:
                publisher.fail(request, failure(Kind.INVALID, "bad"))
            else:
                publisher.accept(request)
        publisher.report_all()

        failed = [m for m in messages if isinstance(publisher.outcomes[m], Exception)]
        assert failed == [bad]

    def test_with_an_ordering_key_it_stops_at_the_bad_one(
        self, publisher: VirtualPublisher
    ) -> None:
        messages = [publisher.hand_over(key="a") for _ in range(8)]
        publisher.act()
        while publisher.under_way:
            request = publisher.under_way[0]
            if messages[5] in request.messages:
                publisher.fail(request, failure(Kind.INVALID, "bad"))
            else:
                publisher.accept(request)
        publisher.report_all()

        results = [publisher.outcomes[message] for message in messages]
        assert [isinstance(each, str) for each in results] == [True] * 5 + [False] * 3
        assert len(set(results[5:])) == 1

    def test_what_was_published_before_the_failure_was_known_fails_too(
        self, publisher: VirtualPublisher
    ) -> None:
        publisher.publish(key="a")
        waiting = publisher.publish(key="a")
        publisher.fail(failure=failure(Kind.FINAL))
        publisher.advance(0.01)
        unaware = publisher.publish(key="a")
        publisher.advance(0.01)
        publisher.report()
        aware = publisher.publish(key="a")
        publisher.accept()
        publisher.report_all()

        assert isinstance(publisher.outcomes[waiting], RuntimeError)
        assert publisher.outcomes[unaware] is publisher.outcomes[waiting]
        assert isinstance(publisher.outcomes[aware], str)

    def test_what_was_published_after_it_was_known_is_sent(
        self, publisher: VirtualPublisher
    ) -> None:
        """Also where the sender learns of the message before the reporter says when it was."""
        publisher.publish(key="a")
        publisher.fail(failure=failure(Kind.FINAL))
        outcome = publisher.unreported[0]
        known_at = publisher.now
        publisher.now += 0.001
        aware = publisher.publish(key="a")
        assert outcome.lane is not None
        publisher.core.note_reported(outcome.lane, known_at)
        publisher.act()

        assert [request.messages for request in publisher.under_way] == [[aware]]


class TestLog:
    def test_an_outage_is_logged_once_a_minute_and_so_is_its_end(
        self, publisher: VirtualPublisher
    ) -> None:
        publisher.publish()
        for _ in range(100):
            while publisher.under_way:
                publisher.fail()
            publisher.advance(1.5)
        publisher.advance(5)
        publisher.accept()

        assert [line.level for line in publisher.lines] == [logging.WARNING] * 3 + [logging.INFO]
        assert "1 message(s) are waiting" in publisher.lines[0].text % publisher.lines[0].arguments
        assert "accepts messages again" in publisher.lines[-1].text

    def test_it_says_once_what_to_check(
        self, publisher: VirtualPublisher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")
        exceptions = pytest.importorskip("google.api_core.exceptions")
        from rele.engine.refusals import explain

        refused = exceptions.ServiceUnavailable("failed to connect")
        error = explain(refused, "projects/shop/topics/orders", "localhost:8085")
        publisher.publish()
        while not publisher.lines:
            publisher.fail(failure=Failure(Kind.PASSING, error))
            publisher.advance(1.5)

        line = publisher.lines[0].text % publisher.lines[0].arguments
        assert line.count("Start `rele-cli emulator` there, or correct it") == 1

    def test_a_short_one_is_not(self, publisher: VirtualPublisher) -> None:
        publisher.publish()
        publisher.fail()
        publisher.advance(1)
        publisher.accept()
        publisher.advance(100)

        assert publisher.lines == []


def test_nothing_is_due_where_nothing_is_outstanding(publisher: VirtualPublisher) -> None:
    for number in range(50):
        publisher.publish(key=f"key-{number}", urgent=True)
    while publisher.under_way:
        publisher.accept()
    publisher.report_all()
    publisher.advance(2)

    assert publisher.core.next_due() is None
    assert publisher.core.outstanding == 0


def test_messages_are_sent_in_requests_of_the_size_that_the_project_sets() -> None:
    publisher = VirtualPublisher(PublisherOptions(max_messages=3, max_bytes=1_000))
    publisher.publish("other")
    for _ in range(7):
        publisher.hand_over()
    publisher.act()
    publisher.advance(0.011)

    assert publisher.sizes() == [1, 3, 3, 1]
