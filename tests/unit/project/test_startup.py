from __future__ import annotations

from typing import Any

import pytest

from rele import Subscription
from rele.exceptions import ConfigurationError
from rele.project.loading import raise_for_a_worker
from rele.project.startup import announce, warn
from rele.schema.problems import Problem

ERROR = Problem("rele.E004", "No such middleware.", "Correct it.")
CREDENTIALS = Problem("rele.W002", "No key file.", "Write its path.")
IMPORT = Problem("rele.W003", "No such module.", "Fix it.")
WARNING = Problem("rele.W001", "Unknown setting.", "Remove it.")


class TestRaiseForAWorker:
    @pytest.mark.parametrize("problem", [ERROR, CREDENTIALS, IMPORT])
    def test_raises_what_a_worker_cannot_do_without(self, problem: Problem) -> None:
        with pytest.raises(ConfigurationError) as raised:
            raise_for_a_worker([WARNING, problem])

        assert str(raised.value) == str(problem)

    def test_raises_all_of_them_at_once_a_line_each(self) -> None:
        with pytest.raises(ConfigurationError) as raised:
            raise_for_a_worker(iter([ERROR, WARNING, IMPORT]))

        assert str(raised.value) == "No such middleware. Correct it.\nNo such module. Fix it."

    @pytest.mark.parametrize("number", ["W001", "W004", "W005", "W006"])
    def test_lets_a_worker_start_with_any_other_warning(self, number: str) -> None:
        raise_for_a_worker([Problem(f"rele.{number}", "", "")])


def test_warnings_are_written_to_the_standard_error(capsys: Any) -> None:
    warn([ERROR, WARNING, CREDENTIALS, IMPORT])

    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "Warning: Unknown setting. Remove it.\n")


class TestAnnounce:
    def test_writes_a_line_for_each_sub(self) -> None:
        lines: list[str] = []

        announce([Subscription(print, "photos"), Subscription(len, "orders")], "", lines.append)

        assert lines == [
            "Configuring worker with 2 subscription(s)...",
            "  photos - print",
            "  orders - len",
        ]

    def test_without_any_says_where_they_were_looked_for(self) -> None:
        lines: list[str] = []

        with pytest.raises(ConfigurationError, match=r"looked for subs\.py below /shop; declare"):
            announce([], "subs.py below /shop", lines.append)

        assert lines == []
