"""When a worker that handles only what waits gives up."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rele.consuming.ending_rule import EndingRule
from rele.consuming.running_once import RunOnce
from rele.runtime.in_use import IN_USE
from rele.status.providers import STATUS
from rele.status.snapshot import Contribution, Phase, SubscriptionStatus


class Stopped:
    """Stands for a worker."""

    stopped_by: int | None = None

    def __init__(self) -> None:
        self.is_stopped = threading.Event()

    def request_stop(self, *, unhurried: bool = False) -> None:
        self.is_stopped.set()

    def end_at_once(self) -> None:
        raise AssertionError


@pytest.fixture(autouse=True)
def _forgotten_hooks() -> Iterator[None]:
    yield
    IN_USE.forget()


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.CONSUMING])
def test_it_gives_up_when_no_stream_could_be_opened_for_a_minute(phase: Phase) -> None:
    refused = SubscriptionStatus("jobs", "jobs", 1, refused_for=60.0, refusal="403 No.")
    remove = STATUS.add(lambda: Contribution(phase=phase, subscriptions=(refused,)))
    try:
        worker, once = Stopped(), RunOnce(EndingRule(quiet_seconds=3600))
        once.take(worker)
        assert worker.is_stopped.wait(10)
    finally:
        remove()

    assert once.refusal == "403 No."
