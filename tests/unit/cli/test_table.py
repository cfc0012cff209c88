"""Tables on a terminal that is too narrow for them."""

from __future__ import annotations

import pytest

from rele.cli.table import Cut, aligned, fitted

ROWS = [
    ["Id", "Handler", "Error"],
    ["1", "shop.orders.subs.ship", "KeyError: 'country'"],
    ["2", "shop.subs.bill", "-"],
]

CUTS = {"Handler": Cut("left", 8), "Error": Cut("right", 10)}


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (None, "1   shop.orders.subs.ship  KeyError: 'country'"),
        (46, "1   shop.orders.subs.ship  KeyError: 'country'"),
        (43, "1   ….orders.subs.ship  KeyError: 'country'"),
        (32, "1   …rs.subs.ship  KeyError: 'c…"),
        (5, "1   …bs.ship  KeyError:…"),
    ],
)
def test_the_widest_column_gives_way_first_and_is_cut_where_it_says_least(
    width: int | None, lines: str
) -> None:
    assert aligned(fitted(ROWS, width, CUTS))[2] == lines
