from __future__ import annotations

from google.api_core.exceptions import RetryError, ServiceUnavailable

from rele.contrib.outbox.relaying.resting import REST, RestingTopics

IN_VAIN = RetryError("Timeout of 5 s exceeded", ServiceUnavailable("unavailable"))


def test_a_topic_that_was_retried_in_vain_rests_for_a_while() -> None:
    resting = RestingTopics()

    resting.note_failures([("b", IN_VAIN), ("a", IN_VAIN), ("a", IN_VAIN)], now=100.0)

    assert resting.at(100.0) == ["a", "b"]
    assert resting.at(100.0 + REST) == []


def test_a_message_that_failed_at_once_lets_its_topic_rest_no_more() -> None:
    resting = RestingTopics()

    resting.note_failures([("a", ServiceUnavailable("now")), ("b", TimeoutError())], now=100.0)

    assert resting.at(100.0) == []
