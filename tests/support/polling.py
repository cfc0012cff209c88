"""Waiting for what notifies nobody, such as a row of a database."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    is_true: Callable[[], bool],
    seconds: float,
    explain: Callable[[], object] = lambda: "",
    *,
    every: float = 0.05,
) -> None:
    """Return when ``is_true()``; fails after ``seconds`` with what ``explain()`` says.

    It asks at intervals of ``every`` so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, explain()
        time.sleep(every)  # no database and no server notifies anybody
