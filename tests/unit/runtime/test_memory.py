from __future__ import annotations

import builtins
import mmap
from typing import Any

import pytest

from rele.runtime.memory import resident_bytes
from tests.support import process_figures


def test_what_the_process_uses_now() -> None:
    before = resident_bytes()
    block = mmap.mmap(-1, 64 << 20)  # which is certain to be returned to the system
    block.write(bytes(64 << 20))

    grown = resident_bytes()

    assert abs(grown - process_figures.resident_bytes()) < 8 << 20
    assert grown - before > 60 << 20
    block.close()
    assert resident_bytes() < grown - (32 << 20)  # other threads may take some meanwhile


def test_where_there_is_no_proc_the_most_that_it_has_used(monkeypatch: pytest.MonkeyPatch) -> None:
    block = bytearray(64 << 20)
    used = resident_bytes()
    del block

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise FileNotFoundError(args[0])

    monkeypatch.setattr(builtins, "open", refuse)

    assert resident_bytes() >= used - (8 << 20)
