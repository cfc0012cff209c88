from __future__ import annotations

from typing import Any

import pytest

from rele import DeadLetterPolicy


def test_without_a_topic_it_is_named_after_the_subscription() -> None:
    path = DeadLetterPolicy().topic_path("shop", "orders-mail")

    assert path == "projects/shop/topics/orders-mail-dead-letter"


@pytest.mark.parametrize(
    ("topic", "path"),
    [
        ("failures", "projects/shop/topics/failures"),
        ("projects/ops/topics/failures", "projects/ops/topics/failures"),
    ],
)
def test_a_topic_is_an_id_or_a_path(topic: str, path: str) -> None:
    assert DeadLetterPolicy(topic).topic_path("shop", "orders") == path


def test_ten_attempts_by_default() -> None:
    assert DeadLetterPolicy().max_delivery_attempts == 10


@pytest.mark.parametrize("attempts", [5, 100])
def test_the_limits_of_the_service_are_allowed(attempts: int) -> None:
    assert DeadLetterPolicy(max_delivery_attempts=attempts).max_delivery_attempts == attempts


@pytest.mark.parametrize("attempts", [4, 101, 0, 10.0, "10", True, None])
def test_other_attempts_are_refused(attempts: Any) -> None:
    with pytest.raises(ValueError, match="a whole number from 5 to 100, not"):
        DeadLetterPolicy(max_delivery_attempts=attempts)


@pytest.mark.parametrize("topic", ["", 1, "topics/failures", "projects//topics/failures"])
def test_what_is_no_topic_is_refused(topic: Any) -> None:
    with pytest.raises(ValueError, match="dead_letter_topic must be the id of a topic"):
        DeadLetterPolicy(topic)
