from __future__ import annotations

import pytest
from google.pubsub_v1.types import PublishRequest, PubsubMessage
from hypothesis import given
from hypothesis import strategies as st

from rele.messages.limits import (
    MAX_ATTRIBUTES,
    MAX_KEY_BYTES,
    MAX_ORDERING_KEY_BYTES,
    MAX_REQUEST_BYTES,
    MAX_VALUE_BYTES,
    SURELY_ACCEPTED_BYTES,
    TooLargeError,
    check_attributes,
    check_ordering_key,
    check_size,
    check_topic,
    request_size,
)


def test_as_much_as_pubsub_takes_is_allowed() -> None:
    attributes = {f"{n:03}".ljust(MAX_KEY_BYTES, "k"): "v" * MAX_VALUE_BYTES for n in range(100)}

    check_attributes(attributes)


def test_what_client_libraries_add_is_allowed() -> None:
    """Pub/Sub reserves other names that begin with `goog` for itself."""
    check_attributes({"googclient_traceparent": "00-1-2-01"})


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({str(n): "" for n in range(MAX_ATTRIBUTES + 1)}, "100 attributes.*not 101"),
        ({"": "v"}, "must not be empty"),
        ({"google": "v"}, "'google' begins with `goog`"),
        ({"googclient": "v"}, "'googclient' begins with `goog`"),
        ({"k" * (MAX_KEY_BYTES + 1): "v"}, "257 bytes long"),
        ({"ö" * 129: "v"}, "258 bytes long"),
        ({"key": "v" * (MAX_VALUE_BYTES + 1)}, "'key' is 1025 bytes long"),
        ({"key": "ö" * 513}, "'key' is 1026 bytes long"),
        ({"key": "\ud800"}, "^The attribute 'key' is not valid Unicode"),
        ({"\ud800": "v"}, "^The attribute's name .* is not valid Unicode"),
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


@pytest.mark.parametrize("topic", ["abc", "a" * 255, "A1-_.~+%", "gooo", "my.googol"])
def test_a_name_that_pubsub_takes_is_a_topic(topic: str) -> None:
    check_topic(topic)


@pytest.mark.parametrize(
    "topic",
    ["", "ab", "a" * 256, "a b", "1abc", "-abc", "goog-orders", "google", "ördern", "abc\n", "a/b"],
)
def test_any_other_name_is_a_value_error(topic: str) -> None:
    with pytest.raises(ValueError, match=r"Pub/Sub accepts no topic named .*3 to 255 characters"):
        check_topic(topic)


def test_of_a_path_it_says_that_the_id_is_enough() -> None:
    with pytest.raises(ValueError, match="Write its id alone, without the project"):
        check_topic("projects/shop/topics/orders")


@pytest.mark.parametrize("topic", [None, 1, b"orders"])
def test_a_topic_that_is_no_string_is_a_type_error(topic: object) -> None:
    with pytest.raises(TypeError, match="The topic must be a string, not"):
        check_topic(topic)


def test_an_ordering_key_has_a_limit() -> None:
    check_ordering_key("ö" * (MAX_ORDERING_KEY_BYTES // 2))
    with pytest.raises(ValueError, match="1025 bytes long"):
        check_ordering_key("x" * 1025)
    with pytest.raises(ValueError, match=r"^The ordering key is not valid Unicode"):
        check_ordering_key("\ud800")
    with pytest.raises(TypeError, match="must be a string, not int"):
        check_ordering_key(7)


@given(st.binary(max_size=20_000), st.dictionaries(st.text(), st.text()), st.text(max_size=200))
def test_the_size_is_that_of_the_request(
    data: bytes, attributes: dict[str, str], ordering_key: str
) -> None:
    request = PublishRequest(
        topic="projects/shop-1/topics/order-paid",
        messages=[PubsubMessage(data=data, attributes=attributes, ordering_key=ordering_key)],
    )

    size = request_size("order-paid", data, attributes, ordering_key, project_length=6)

    assert size == PublishRequest.pb(request).ByteSize()


def test_the_envelope_counts_to_the_size() -> None:
    with pytest.raises(TooLargeError, match="9,999,982 bytes of data"):
        check_size("order-paid", b"x" * 9_999_982, {}, "")
    check_size("order-paid", b"x" * 9_999_900, {}, "")
    with pytest.raises(TooLargeError):
        check_size("order-paid", b"x" * 9_999_900, {"note": "x" * 100}, "")

    assert request_size("order-paid", b"x" * 9_999_900, {}, "") <= MAX_REQUEST_BYTES


def test_what_is_surely_accepted_is_not_too_large_with_all_attributes_that_pubsub_takes() -> None:
    attributes = {f"{n:03}".ljust(MAX_KEY_BYTES, "k"): "v" * MAX_VALUE_BYTES for n in range(100)}
    data, key = b"x" * SURELY_ACCEPTED_BYTES, "k" * MAX_ORDERING_KEY_BYTES

    check_size("t" * 255, data, attributes, key)
