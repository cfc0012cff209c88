from __future__ import annotations

import pytest

from rele.retry_policy import RetryPolicy


@pytest.mark.parametrize(("minimum", "maximum"), [(10, 600), (0.1, 0.1), (600, 600)])
def test_the_range_of_pubsub_is_accepted(minimum: float, maximum: float) -> None:
    policy = RetryPolicy(minimum, maximum)

    assert (policy.minimum_backoff, policy.maximum_backoff) == (minimum, maximum)


@pytest.mark.parametrize(
    ("minimum", "maximum"),
    [(0, 10), (-1, 10), (11, 10), (10, 601), (float("nan"), 10), (1, float("nan"))],
)
def test_a_policy_out_of_range_is_refused_where_it_is_declared(
    minimum: float, maximum: float
) -> None:
    with pytest.raises(ValueError, match="needs 0 < minimum_backoff <= maximum_backoff <= 600"):
        RetryPolicy(minimum, maximum)


def test_equal_policies_are_equal() -> None:
    assert RetryPolicy(1, 2) == RetryPolicy(minimum_backoff=1, maximum_backoff=2)
    assert RetryPolicy(1, 2) != RetryPolicy(1, 3)
