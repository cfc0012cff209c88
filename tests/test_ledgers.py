"""The ledgers of the tests: what breaks a rule is found in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ledger import Expected, Ledger, Line, check_handled, check_lines, lines_said

KEYS = dict.fromkeys(range(10), "key")


def begin(number: int, process: int = 1) -> Line:
    return Line("begin", number, process)


def end(number: int, process: int = 1) -> Line:
    return Line("end", number, process)


@pytest.mark.parametrize(
    ("lines", "expected", "broken"),
    [
        ([begin(0), end(0)], Expected(), "NothingIsLost: 1 message(s) (1)"),
        ([begin(0), end(0), begin(1)], Expected(), "NothingIsLost: 1 message(s) (1)"),
        (
            [begin(0), end(0), begin(1), end(1), begin(2), end(2)],
            Expected(),
            "NothingIsLost: 1 message(s) (2) were never accepted",
        ),
        (
            [begin(0), begin(1), end(0), end(1), begin(1, 2), end(1, 2)],
            Expected(),
            "BeginsOnce: 0.000 s: 2 begins 1 again, after 1",
        ),
        (
            [begin(0), begin(1), end(0), begin(1, 2), end(1, 2), begin(1, 3), end(1, 3)],
            Expected(killed=[1]),
            "BeginsOnce: 0.000 s: 3 begins 1 again, after 2",
        ),
        (
            [begin(1), end(1), begin(0), end(0)],
            Expected(keys=KEYS),
            "InOrder: 0.000 s: 1 of 'key' begins before 0 is handled",
        ),
        (
            [begin(0), begin(1), end(0), end(1)],
            Expected(keys=KEYS),
            "OneAtATime: 0.000 s: 1 begins 1 of 'key' while 0 runs",
        ),
        (
            [begin(0), begin(1), end(0), end(1)],
            Expected(threads=1),
            "Bounded: 0.000 s: 1 runs 2 handlers",
        ),
    ],
)
def test_what_breaks_a_rule_is_found(lines: list[Line], expected: Expected, broken: str) -> None:
    assert broken in "\n".join(check_lines(lines, range(2), expected=expected))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([begin(0), begin(1), end(1), end(0)], Expected(threads=2)),
        ([begin(0), end(0)], Expected(waiting=[1])),
        ([begin(0), end(0), begin(1)], Expected(dead_letters=[1])),
        ([begin(0), begin(1), end(0), begin(1, 2), end(1, 2)], Expected(killed=[1])),
        ([begin(0), end(0), begin(1), begin(1), end(1), end(1)], Expected(again=[1])),
        ([begin(0), end(0), begin(1, 2), end(1, 2)], Expected(keys=KEYS, threads=1)),
    ],
)
def test_what_breaks_none_is_not(lines: list[Line], expected: Expected) -> None:
    assert check_lines(lines, range(2), expected=expected) == []


def test_what_was_handled_may_be_known_by_its_order_alone() -> None:
    assert check_handled([0, 2, 1], range(3)) == []
    assert check_handled([0, 2, 1], range(3), Expected(keys=KEYS)) != []
    assert check_handled([0, 1, 1], range(3)) != []


def test_a_ledger_is_read_as_far_as_its_lines_are_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.lines() == []
    path = tmp_path / "ledger"
    path.write_text("begin 3 77 1.500\nend 3 7")
    assert ledger.lines() == [Line("begin", 3, 77, 1.5)]

    path.write_text("begin 3 77 1.500\nend 3 77 2.000\n")

    assert ledger.lines("end") == [Line("end", 3, 77, 2.0)]
    assert ledger.count("begin") == {3: 1}


def test_lines_about_messages_are_found_in_output() -> None:
    said = "Pulling 2 things\nbegin 1\nERROR 5 of it\nend 1\n"

    assert lines_said(said, 9) == [Line("begin", 1, 9), Line("end", 1, 9)]
