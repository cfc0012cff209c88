from __future__ import annotations

import signal

import pytest

from rele.runtime.ends_of_processes import describe_end, is_stop_signal


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (2, "ended with status 2"),
        (-signal.SIGABRT, "was ended by SIGABRT (Aborted)"),
        (-signal.SIGTERM, "was ended by SIGTERM (Terminated)"),
        (-99, "was ended by the signal 99"),
    ],
)
def test_an_end_in_words(returncode: int, words: str) -> None:
    assert describe_end(returncode) == words


def test_a_process_that_nobody_has_killed_was_too_large() -> None:
    assert "out of memory" in describe_end(-signal.SIGKILL)


def test_a_process_that_ends_well_without_being_asked_is_no_good_sign() -> None:
    assert describe_end(0) == "ended with status 0 although nobody has asked it to stop"


def test_stop_signals_are_those_that_a_worker_would_catch() -> None:
    stopping = {signum for signum in signal.Signals if is_stop_signal(-signum)}

    assert stopping == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    assert not is_stop_signal(signal.SIGTERM)
