from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rele.attributes import (
    MAX_ATTRIBUTES,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    check_attributes,
)


def test_as_much_as_pubsub_takes_is_allowed() -> None:
    attributes = {f"{n:03}".ljust(MAX_KEY_BYTES, "k"): "v" * MAX_VALUE_BYTES for n in range(100)}

    check_attributes(attributes)


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({str(n): "" for n in range(MAX_ATTRIBUTES + 1)}, "100 attributes.*not 101"),
        ({"": "v"}, "must not be empty"),
        ({"google": "v"}, "'google' begins with `goog`"),
        ({"k" * (MAX_KEY_BYTES + 1): "v"}, "257 bytes long"),
        ({"ö" * 129: "v"}, "258 bytes long"),
        ({"key": "v" * (MAX_VALUE_BYTES + 1)}, "'key' is 1025 bytes long"),
        ({"key": "ö" * 513}, "'key' is 1026 bytes long"),
        ({"key": "\ud800"}, "'key' is not valid Unicode"),
        ({"\ud800": "v"}, "is not valid Unicode"),
    ],
)
def test_what_pubsub_would_refuse_is_a_value_error(
    attributes: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_attributes(attributes)


@pytest.mark.parametrize("value", [1, None, True, b"bytes", ["list"]])
def test_a_value_that_is_no_string_is_a_type_error_that_names_the_attribute(value: object) -> None:
    with pytest.raises(TypeError, match="'count' must be a string, not"):
        check_attributes({"count": value})


def test_a_key_that_is_no_string_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not 1"):
        check_attributes({1: "v"})  # type: ignore[dict-item]


@given(st.dictionaries(st.text(), st.text()))
def test_what_is_let_through_is_within_the_limits(attributes: dict[str, str]) -> None:
    try:
        check_attributes(attributes)
    except ValueError:
        return
    for key, value in attributes.items():
        assert 0 < len(key.encode()) <= MAX_KEY_BYTES
        assert len(value.encode()) <= MAX_VALUE_BYTES
