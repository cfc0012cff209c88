from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from unittest.mock import Mock

import pytest

from rele.sending import process_end
from rele.sending.ends import Runner, Surroundings
from rele.sending.process_end import WaitsForOutcomes, call_at_end, surroundings


def main_work_horse() -> Surroundings:
    return surroundings()


def in_a_thread(function: Callable[[], Surroundings]) -> Surroundings:
    found: list[Surroundings] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class TestSurroundings:
    def test_of_a_process_that_runs_by_itself(self) -> None:
        assert surroundings().runner is Runner.INTERPRETER
        assert not surroundings().is_ending

    def test_are_told_by_the_calls_of_the_main_thread(self) -> None:
        def main_work_horse() -> Surroundings:
            return in_a_thread(surroundings)

        assert main_work_horse().runner is Runner.WORK_HORSE

    def test_are_not_told_by_the_calls_of_another_thread(self) -> None:
        assert in_a_thread(main_work_horse).runner is Runner.INTERPRETER

    def test_end_when_the_main_thread_has_returned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(threading, "_SHUTTING_DOWN", True)

        assert surroundings().is_ending

    def test_are_not_known_to_be_forked_without_proc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process_end, "Path", Mock(side_effect=FileNotFoundError))

        assert not surroundings().is_forked


def test_celerys_signal_calls_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, function = ModuleType("celery.signals"), Mock()
    signals.worker_process_shutdown = Mock()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "celery.signals", signals)
    monkeypatch.setattr(process_end, "atexit", Mock())

    call_at_end(function, Runner.CELERY_POOL)

    [receiver] = signals.worker_process_shutdown.connect.call_args.args
    receiver(sender="worker", pid=1, exitcode=0)
    function.assert_called_once_with()


class TestWaits:
    def test_not_in_a_running_event_loop_and_says_so_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        waits = WaitsForOutcomes(Surroundings(Runner.WORK_HORSE), None)

        async def ask() -> bool:
            return bool(waits)

        assert waits
        assert caplog.text == ""
        assert not asyncio.run(ask())
        assert not asyncio.run(ask())
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert "a work horse of RQ" in record.getMessage()
        assert waits

    def test_not_where_the_end_sends(self, caplog: pytest.LogCaptureFixture) -> None:
        waits = WaitsForOutcomes(Surroundings(Runner.CELERY_POOL), None)

        async def ask() -> bool:
            return bool(waits)

        assert not waits
        assert not asyncio.run(ask())
        assert caplog.text == ""
