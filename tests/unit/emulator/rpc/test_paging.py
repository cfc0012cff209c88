"""Lists in pages."""

from __future__ import annotations

import pytest

from rele.emulator.rpc.paging import MAX_PAGE_SIZE, page_of
from rele.emulator.rules.refusals import InvalidArgumentError

NAMES = [f"name-{number:04}" for number in range(25)]


def test_pages_have_every_name_once_in_order() -> None:
    pages, token = [], ""
    while True:
        page, token = page_of(reversed(NAMES), 10, token)
        pages.append(page)
        if not token:
            break

    assert [len(page) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in page] == NAMES


def test_a_full_last_page_has_no_next() -> None:
    assert page_of(NAMES, 25, "") == (NAMES, "")


def test_without_a_size_there_is_one_all_the_same() -> None:
    many = [f"{number:05}" for number in range(MAX_PAGE_SIZE + 1)]
    page, token = page_of(many, 0, "")

    assert len(page) == MAX_PAGE_SIZE
    assert page_of(many, 10**6, token) == (many[-1:], "")


def test_a_name_deleted_between_pages_is_no_problem() -> None:
    page, token = page_of(NAMES, 10, "")
    rest, _ = page_of([name for name in NAMES if name != page[-1]], 10, token)

    assert rest == NAMES[10:20]


def test_no_names() -> None:
    assert page_of([], 10, "") == ([], "")


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="page_size must not be negative, got -1"):
        page_of(NAMES, -1, "")


@pytest.mark.parametrize("token", ["nonsense", "é", "/w=="])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgumentError, match="page_token"):
        page_of(NAMES, 10, token)
