"""Which process of runrele starts another one."""

from __future__ import annotations

import pytest

from rele.management.reloading import VARIABLE, is_outer


def test_the_outer_process_is_the_one_that_nobody_has_started_for_this(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_outer({"use_reloader": True})
    assert not is_outer({"use_reloader": False})

    monkeypatch.setenv(VARIABLE, "1:1000.0")

    assert not is_outer({"use_reloader": True})
