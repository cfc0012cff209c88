from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from rele.engine.outages import Trouble, in_a_line

logger = logging.getLogger(__name__)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    with monkeypatch.context() as patched:
        clock = Clock()
        patched.setattr(time, "monotonic", clock)
        yield clock


class TestTrouble:
    @pytest.fixture(autouse=True)
    def _show_all(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)

    def test_is_told_once_a_minute_while_it_lasts(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        trouble = Trouble(logger)
        trouble.begin()

        for _ in range(150):
            trouble.tell(logging.WARNING, "away for %.0f s", trouble.seconds)
            clock.now += 1
        trouble.end("back after %.0f s", at=clock.now)

        assert caplog.messages == [
            "away for 0 s",
            "away for 60 s",
            "away for 120 s",
            "back after 150 s",
        ]

    def test_what_comes_and_goes_is_told_once_a_minute_too(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        trouble = Trouble(logger)

        for _ in range(61):
            trouble.begin()
            trouble.tell(logging.WARNING, "away")
            clock.now += 1
            trouble.end("back after %.0f s", at=clock.now)

        assert caplog.messages == ["away", "back after 1 s"] * 2

    def test_what_was_not_told_is_not_told_to_be_over(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        trouble = Trouble(logger)
        trouble.begin()
        trouble.end("back after %.0f s", at=clock.now)

        assert caplog.messages == []
        assert not trouble.has_begun

    def test_begins_only_once(self, clock: Clock) -> None:
        trouble = Trouble(logger)
        trouble.begin()
        clock.now += 5
        trouble.begin()

        assert trouble.seconds == 5


@pytest.mark.parametrize(
    ("reason", "line"),
    [(ValueError("a\nb:\n  c."), "a b: c"), ("no token", "no token"), (ValueError(), "")],
)
def test_a_reason_is_put_in_a_line(reason: object, line: str) -> None:
    assert in_a_line(reason) == line
