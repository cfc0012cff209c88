from __future__ import annotations

from datetime import datetime, timezone

import pytest

from rele.exceptions import DeadLetter, NotJSONError, Reject
from rele.messages.dead_letter_attributes import (
    failure_attributes,
    letter_attributes,
    source_attributes,
    without_letter_attributes,
)

TOPIC = "projects/p/topics/orders-dead-letter"
SOURCE = source_attributes(
    "projects/p/subscriptions/orders", datetime(2026, 11, 26, tzinfo=timezone.utc), 3
)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ValueError


def caused(decision: Exception, cause: Exception) -> Exception:
    decision.__cause__ = cause
    return decision


def raised_while_handling(error: Exception, decision: Exception) -> Exception:
    try:
        try:
            raise error
        except type(error):
            raise decision  # noqa: B904 - as handlers do it
    except type(decision) as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "type_", "text"),
    [
        (KeyError("price"), "KeyError", "'price'"),
        (ValueError("\n first \nsecond"), "ValueError", "first"),
        (Reject("it has no id"), "Reject", "it has no id"),
        (caused(DeadLetter("look"), KeyError("price")), "KeyError", "look"),
        (caused(DeadLetter(), KeyError("price")), "KeyError", "'price'"),
        (caused(ValueError("new"), KeyError("price")), "ValueError", "new"),
        (NotJSONError("not JSON", "x", 0), "NotJSONError", "not JSON: line 1 column 1 (char 0)"),
        (DeadLetter(), "DeadLetter", None),
        (raised_while_handling(KeyError("price"), DeadLetter()), "KeyError", "'price'"),
        (raised_while_handling(KeyError("price"), DeadLetter("no")), "DeadLetter", "no"),
        (UnspeakableError(), f"{__name__}.UnspeakableError", None),
        (ValueError("é" * 1000), "ValueError", "é" * 512),
        (ValueError("x" + "é" * 1000), "ValueError", "x" + "é" * 511),
        (ValueError("\ud800"), "ValueError", "?"),
    ],
    ids=repr,
)
def test_what_is_kept_of_an_error(error: Exception, type_: str, text: str | None) -> None:
    kept = failure_attributes(error, "shop.subs.ship")

    expected = {"rele_error_type": type_, "rele_error": text, "rele_handler": "shop.subs.ship"}
    assert kept == {name: value for name, value in expected.items() if value is not None}


def test_additions_are_left_out_where_there_is_no_room() -> None:
    failure = failure_attributes(KeyError(), "ship")
    many = {f"a{number}": "" for number in range(100 - len(SOURCE))}

    assert letter_attributes(TOPIC, b"", many, "", SOURCE, failure) == many | SOURCE
    assert letter_attributes(TOPIC, b"", many | {"b": ""}, "", SOURCE, failure) == many | {"b": ""}


def test_a_letter_is_not_made_larger_than_a_request() -> None:
    data = bytes(9_999_900)

    assert letter_attributes(TOPIC, data, {}, "", SOURCE) == {}


def test_a_letter_says_nothing_of_an_earlier_failure() -> None:
    earlier = failure_attributes(KeyError("price"), "ship")

    kept = letter_attributes(TOPIC, b"", earlier | {"a": "1"}, "", SOURCE, {"rele_error": "new"})

    assert kept == {"a": "1", "rele_error": "new"} | SOURCE


def test_without_what_a_letter_has_in_addition_it_is_as_before() -> None:
    attributes = {"event_id": "e-1", "country": "ES"}
    failure = failure_attributes(KeyError("price"), "ship")

    letter = letter_attributes(TOPIC, b"", attributes, "", SOURCE, failure)

    assert without_letter_attributes(letter) == attributes
