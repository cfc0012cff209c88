from __future__ import annotations

import time

import pytest

from tests.support.native_publisher import make_publisher


def test_a_step_that_always_fails_fills_neither_a_core_nor_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where an interpreter ends around it."""
    publisher, _ = make_publisher(monkeypatch)

    def fail(seconds: float) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(publisher._sender, "_take_events", fail)
    began = time.thread_time()
    publisher.close(0.5)

    assert time.thread_time() - began < 0.25
    assert 1 <= caplog.text.count("A step of the publisher failed") <= 6
