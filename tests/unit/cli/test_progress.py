from __future__ import annotations

import io

from rele.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_in_one_line() -> None:
    written = Terminal()

    with Progress(200, "replayed", written) as progress:
        progress.add(100)
        progress.add(100)

    first, half, whole = written.getvalue().rstrip("\n").split("\r")
    assert first == f"[{'.' * 30}]   0% 0 of 200 replayed"
    assert half == f"[{'#' * 15}{'.' * 15}]  50% 100 of 200 replayed"
    assert whole == f"[{'#' * 30}] 100% 200 of 200 replayed"
    assert written.getvalue().endswith("\n")


def test_elsewhere_there_are_a_few_plain_lines() -> None:
    written = io.StringIO()

    with Progress(10_000, "replayed", written) as progress:
        for _ in range(1_000):
            progress.add(10)

    lines = written.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "1,000 of 10,000 replayed"
    assert lines[-1] == "10,000 of 10,000 replayed"


def test_more_than_was_known_is_no_error() -> None:
    written = Terminal()

    with Progress(1, "replayed", written) as progress:
        progress.add(3)

    assert "100% 3 of 3 replayed" in written.getvalue()
