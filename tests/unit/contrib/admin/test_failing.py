"""What is kept of an error, and which errors are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rele.contrib.admin.failing import TEXT, describe, traceback_of
from rele.exceptions import DeadLetter, Retry
from rele.subscription import Subscription


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - it is looked at
        return caught


def charge(error: Exception) -> None:
    raise error


def refund(error: Exception) -> None:
    raise error


def raised_by(function: Callable[[Exception], None], error: Exception) -> Exception:
    try:
        function(error)
    except Exception as caught:  # noqa: BLE001 - it is looked at
        return caught
    raise AssertionError


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("order 7 not found", "order 12 not found"),
        ("at 0x7f00aa", "at 0x7f11bb"),
        (
            "order 01900000-0000-7000-8000-000000000001",
            "order 0190abcd-0000-7000-8000-00000000000f",
        ),
    ],
)
def test_errors_that_differ_in_numbers_alone_are_the_same(one: str, another: str) -> None:
    first, second = (describe("orders", raised(ValueError(text))) for text in (one, another))

    assert first.fingerprint == second.fingerprint
    assert (first.text, second.text) == (one, another)


def test_errors_of_other_subscriptions_classes_texts_and_places_are_others() -> None:
    prints = [
        describe("orders", raised_by(charge, ValueError("no stock"))),
        describe("photos", raised_by(charge, ValueError("no stock"))),
        describe("orders", raised_by(charge, KeyError("no stock"))),
        describe("orders", raised_by(charge, ValueError("no price"))),
        describe("orders", raised_by(refund, ValueError("no stock"))),
    ]

    assert len({each.fingerprint for each in prints}) == len(prints)


def test_an_error_has_its_class_the_first_line_and_its_place() -> None:
    described = describe("orders", raised_by(charge, UnicodeError("one\ntwo")))

    assert (described.kind, described.text) == ("UnicodeError", "one")
    assert described.place.startswith(f"{__name__}.charge:")
    own = describe("orders", UnprintableError())
    assert own.kind == f"{__name__}.UnprintableError"
    assert own.place == ""


@pytest.mark.parametrize("text", ["x" * 10_000, "a\0b", "\ud800", ""])
def test_any_text_can_be_stored(text: str) -> None:
    error = raised(ValueError(text))
    described = describe("orders", error)

    for kept in (described.text, traceback_of(error)):
        assert "\0" not in kept
        kept.encode()
    assert len(described.text) <= TEXT + 1
    assert len(traceback_of(error)) <= 6_001


def test_an_error_without_a_text_is_described() -> None:
    error: Any = raised(UnprintableError())

    assert "cannot be printed: RuntimeError" in describe("orders", error).text
    assert "UnprintableError" in traceback_of(error)


def because_of(cause: Exception, decision: Exception, *, named: bool) -> None:
    try:
        charge(cause)
    except Exception as error:
        if named:
            raise decision from error
        raise decision  # noqa: B904 - as handlers do it


@pytest.mark.parametrize(
    ("decision", "named", "kind", "text"),
    [
        (DeadLetter(), True, "KeyError", "'price'"),
        (DeadLetter("no price"), True, "KeyError", "no price"),
        (DeadLetter(), False, "KeyError", "'price'"),
        (DeadLetter("no price"), False, "DeadLetter", "no price"),
        (Retry(5), True, "KeyError", "'price'"),
        (Retry(5), False, "KeyError", "'price'"),
        (ValueError(), True, "ValueError", ""),
    ],
)
def test_a_decision_is_named_by_the_error_behind_it(
    decision: Exception, named: bool, kind: str, text: str
) -> None:
    with pytest.raises(type(decision)) as caught:
        because_of(KeyError("price"), decision, named=named)

    described = describe("orders", caught.value)

    assert (described.kind, described.text) == (kind, text)
    raised_in = "charge" if kind == "KeyError" else "because_of"
    assert described.place.startswith(f"{__name__}.{raised_in}:")


def test_a_traceback_begins_at_the_handler() -> None:
    def handle(data: object, **attributes: object) -> None:
        charge(ValueError("no stock"))

    with pytest.raises(ValueError, match="no stock") as caught:
        Subscription(handle, "orders")({})

    error = caught.value.with_traceback(caught.tb.tb_next)  # without this test
    assert "/rele/" not in traceback_of(error)
    assert "in handle" in traceback_of(error)
