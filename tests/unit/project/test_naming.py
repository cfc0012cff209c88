from __future__ import annotations

from unittest.mock import Mock

import pytest

from rele.exceptions import ResourceError
from rele.project.naming import existing_subscription, existing_topic, subscription_path

NAMES = ["", " ", "orders ", "a", "x" * 300, "or\nders", "or\0ders", "\udcff", "ö", "goog-orders"]

PATHS = ["orders/1", "projects/p/orders", "projects//{}/orders", "projects/\udcff/{}/orders"]


@pytest.mark.parametrize("name", [*NAMES, *PATHS])
def test_what_pubsub_would_not_take_is_one_error_without_a_request(name: str) -> None:
    reader = Mock()
    subscription = subscription_path(name.format("subscriptions"), "project")

    with pytest.raises(ResourceError, match="subscription") as refused:
        existing_subscription(reader, subscription)
    with pytest.raises(ResourceError, match="topic"):
        existing_topic(reader, name.format("topics"), "project")

    assert str(refused.value).isprintable()
    assert reader.mock_calls == []
