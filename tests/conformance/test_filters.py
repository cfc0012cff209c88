"""Filters ("Filter messages from a subscription")."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Service, data_of, refused

MESSAGES: list[dict[str, str]] = [
    {"name": "com", "lang": "jp"},
    {"name": "org", "lang": "jp"},
    {"name": "com", "lang": "en"},
    {"name": "co", "lang": "jp"},
    {"lang": "jp"},
    {"name": "com"},
    {"other": "x"},
]
FILTERS: list[tuple[str, list[int]]] = [
    ('attributes.name = "com"', [0, 2, 5]),
    ('attributes.name != "com"', [1, 3, 4, 6]),
    ('hasPrefix(attributes.name, "co")', [0, 2, 3, 5]),
    ("attributes:name", [0, 1, 2, 3, 5]),
    ("NOT attributes:name", [4, 6]),
    ('(NOT attributes:name) OR attributes.name = "co"', [3, 4, 6]),
    ('NOT (attributes:name OR attributes.lang = "jp")', [6]),
    ('attributes.name = "com" AND -attributes:lang', [5]),
    ('attributes:"name"', [0, 1, 2, 3, 5]),
]
BAD_FILTERS = [
    "garbage (",
    'data = "x"',
    "attributes.name",
    "attributes.name = com",
    'attributes.name > "a"',
    "attributes:a and attributes:b",
    "attributes:a AND attributes:b OR attributes:c",
    'hasPrefix(attributes.name, "a"',
    "NOT NOT attributes:a",
    'hasSuffix(attributes.a, "b")',
    f'attributes.name = "{"x" * 250}"',
]


@pytest.mark.google_differs("filters are never applied")
def test_only_matching_messages_are_delivered(
    service: Service, topic: str, make_subscription: Callable[..., str]
) -> None:
    subscriptions = {
        make_subscription(f"sub-{index}", filter=text): expected
        for index, (text, expected) in enumerate(FILTERS)
    }
    service.publish(
        topic,
        *(
            {"data": str(index).encode(), "attributes": attributes}
            for index, attributes in enumerate(MESSAGES)
        ),
    )

    got = {name: data_of(service.pull_now(name)) for name in subscriptions}
    assert {name: sorted(map(int, data)) for name, data in got.items()} == subscriptions


@pytest.mark.google_differs("any text is accepted as a filter")
@pytest.mark.parametrize("text", BAD_FILTERS)
def test_what_is_no_filter_is_refused(make_subscription: Callable[..., str], text: str) -> None:
    with refused("INVALID_ARGUMENT"):
        make_subscription(filter=text)


def test_a_filter_of_256_bytes_is_accepted(make_subscription: Callable[..., str]) -> None:
    make_subscription(filter=f'attributes.name = "{"x" * 236}"')


def test_a_filter_cannot_be_changed(
    service: Service, make_subscription: Callable[..., str]
) -> None:
    name = make_subscription(filter="attributes:a")

    with refused("INVALID_ARGUMENT"):
        service.call(
            "UpdateSubscription",
            subscription={"name": name, "filter": "attributes:b"},
            update_mask={"paths": ["filter"]},
        )
    assert service.call("GetSubscription", subscription=name).filter == "attributes:a"
