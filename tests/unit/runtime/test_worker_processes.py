"""What a supervisor does, with a clock that the test moves."""

from __future__ import annotations

import logging
import signal

import pytest

from rele.runtime.worker_processes import (
    AllPull,
    Kill,
    Report,
    Spawn,
    Tell,
    WorkerProcesses,
)

STOP_SECONDS = 30.0

KILLED = (
    "was killed by SIGKILL: unless somebody has killed it, the system or the container was out of "
    "memory."
)


class Bench:
    """A supervisor's decisions about ``count`` workers, which start at the time 0."""

    def __init__(self, count: int, random: float = 1.0) -> None:
        self.workers = WorkerProcesses(count, STOP_SECONDS, lambda: random)
        self.now = 0.0
        self.last_key = 0
        self.lines: list[tuple[int, str]] = []
        self.workers.start(self.now)

    def act(self, seconds: float = 0.0) -> list[object]:
        """What is done after ``seconds``, without what is logged; each process gets a pid."""
        self.now += seconds
        done: list[object] = []
        while actions := self.workers.act(self.now):
            for action in actions:
                if isinstance(action, Report):
                    self.lines.append((action.level, action.text))
                    continue
                if isinstance(action, Spawn):
                    self.last_key = action.key
                    self.workers.note_spawned(action.key, 1000 + action.key)
                done.append(action)
        return done

    def start_all(self) -> None:
        keys = [action.key for action in self.act() if isinstance(action, Spawn)]
        for key in keys:
            self.workers.note_pulling(key, self.now)
        self.act()

    def end(self, key: int, returncode: int) -> str:
        """Let a process end; return what is logged about it."""
        self.workers.note_end(key, returncode, self.now)
        self.act()
        return self.lines[-1][1]


def test_starts_all_workers_and_says_once_when_all_of_them_pull() -> None:
    bench = Bench(2)

    assert bench.act() == [Spawn(1, 1), Spawn(2, 2)]
    bench.workers.note_pulling(1, 0)
    assert bench.act() == []
    bench.workers.note_pulling(2, 0)
    assert bench.act() == [AllPull()]
    assert bench.lines == [
        (logging.INFO, "Started worker 1 (process 1001)."),
        (logging.INFO, "Started worker 2 (process 1002)."),
    ]


@pytest.mark.parametrize(
    ("returncode", "why"),
    [
        (3, "ended with status 3."),
        (0, "ended with status 0 although nobody has asked it to stop."),
        (-signal.SIGSEGV, "was ended by SIGSEGV (Segmentation fault)."),
        (-signal.SIGKILL, KILLED),
    ],
)
def test_a_worker_that_ends_is_started_again_and_the_log_says_why(
    returncode: int, why: str
) -> None:
    bench = Bench(2)
    bench.start_all()

    line = bench.end(1, returncode)

    assert line == f"Worker 1 (process 1001) {why} Restarting it in 1.0 s."
    assert bench.workers.next_due() == 1
    assert bench.act(0.9) == []
    assert bench.act(0.1) == [Spawn(3, 1)]


def pauses_of(bench: Bench, deaths: int, alive: float) -> list[float]:
    """The pauses after deaths of the only worker, which each time has pulled for ``alive``."""
    pauses = []
    key = bench.last_key
    for _ in range(deaths):
        bench.now += alive
        bench.end(key, 1)
        due = bench.workers.next_due()
        assert due is not None
        pauses.append(due - bench.now)
        [spawn] = bench.act(due - bench.now)
        assert isinstance(spawn, Spawn)
        key = spawn.key
        bench.workers.note_pulling(key, bench.now)
    return pauses


def test_pauses_grow_from_death_to_death() -> None:
    bench = Bench(1)
    bench.start_all()

    assert pauses_of(bench, 8, alive=59) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_pauses_vary_so_that_workers_do_not_start_together() -> None:
    bench = Bench(1, random=0.0)
    bench.start_all()

    assert pauses_of(bench, 3, alive=0) == [0.5, 1, 2]


def test_a_worker_that_has_pulled_for_a_minute_begins_with_the_first_pause_again() -> None:
    bench = Bench(1)
    bench.start_all()
    pauses_of(bench, 5, alive=0)

    bench.now += 60

    assert pauses_of(bench, 2, alive=0) == [1, 2]


def test_a_process_that_cannot_be_started_is_tried_again_later() -> None:
    bench = Bench(1)
    [spawn] = bench.workers.act(0)
    assert isinstance(spawn, Spawn)

    bench.workers.note_not_spawned(spawn.key, OSError(11, "Resource unavailable"), 0)

    assert bench.act(0.9) == []
    assert "Worker 1 could not be started: [Errno 11] Resource unavailable" in bench.lines[0][1]
    assert bench.act(0.1) == [Spawn(2, 1)]


class TestFailuresAtTheStart:
    def test_what_keeps_a_worker_from_its_first_start_ends_all_of_them(self) -> None:
        bench = Bench(3)
        bench.act()
        bench.workers.note_pulling(3, 0)
        bench.workers.note_failure(1, "No project.")

        bench.workers.note_end(1, 1, 0)

        assert bench.act() == [Tell(2, "stop"), Tell(3, "stop")]
        bench.workers.note_failure(2, "No project.")
        bench.workers.note_end(2, 1, 0)
        bench.workers.note_end(3, 0, 0)
        assert bench.workers.is_over
        assert (bench.workers.failure, bench.workers.exit_status) == ("No project.", 1)
        assert bench.act() == []
        assert not any(level == logging.ERROR for level, _ in bench.lines)

    def test_later_it_is_tried_again(self) -> None:
        bench = Bench(1)
        bench.start_all()
        bench.end(1, -signal.SIGKILL)
        assert bench.act(1) == [Spawn(2, 1)]
        bench.workers.note_failure(2, "Pub/Sub cannot be reached.")

        line = bench.end(2, 1)

        assert line == (
            "Worker 1 (process 1002) could not start: Pub/Sub cannot be reached. Restarting it in "
            "2.0 s."
        )
        assert not bench.workers.is_over


class TestStopping:
    def test_each_worker_is_told_once_and_none_is_started_any_more(self) -> None:
        bench = Bench(2)
        bench.start_all()
        bench.end(2, 1)

        bench.workers.note_signal(bench.now)
        bench.workers.note_signal(bench.now + 0.9)

        assert bench.act() == [Tell(1, "stop")]
        assert bench.act(29) == []
        bench.workers.note_end(1, 0, bench.now)
        assert (bench.workers.is_over, bench.workers.exit_status) == (True, 0)

    def test_one_that_ends_at_the_same_time_is_not_told(self) -> None:
        bench = Bench(2)
        bench.start_all()

        bench.workers.note_signal(0)
        bench.workers.note_end(1, 0, 0)

        assert bench.act() == [Tell(2, "stop")]

    def test_the_status_says_that_one_has_not_stopped_well(self) -> None:
        bench = Bench(2)
        bench.start_all()
        bench.workers.note_signal(0)
        bench.act()

        bench.workers.note_end(1, 0, 5)
        assert bench.end(2, 1) == "Worker 2 (process 1002) ended with status 1."
        assert (bench.workers.is_over, bench.workers.exit_status) == (True, 1)

    def test_who_does_not_stop_in_time_is_killed(self) -> None:
        bench = Bench(2)
        bench.start_all()
        bench.workers.note_signal(0)
        bench.act()
        bench.workers.note_end(1, 0, 5)

        assert bench.workers.next_due() == STOP_SECONDS
        assert bench.act(STOP_SECONDS) == [Kill(2)]
        assert bench.lines[-1][1].startswith("Worker 2 (process 1002) has not ended in time")
        assert bench.workers.next_due() is None
        bench.workers.note_end(2, -signal.SIGKILL, bench.now)
        assert (bench.workers.is_over, bench.workers.exit_status) == (True, 1)

    def test_a_second_signal_ends_all_at_once(self) -> None:
        bench = Bench(2)
        bench.start_all()
        bench.workers.note_signal(0)
        bench.act()

        bench.workers.note_signal(1)

        assert bench.act() == [Tell(1, "end"), Tell(2, "end")]
        bench.workers.note_end(1, 1, 1)
        assert bench.act(2.5) == [Kill(2)]
        bench.workers.note_end(2, -signal.SIGKILL, 3)
        assert (bench.workers.is_over, bench.workers.exit_status) == (True, 1)

    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_a_worker_that_a_signal_ended_before_it_could_catch_it_has_stopped_well(
        self, signum: int
    ) -> None:
        bench = Bench(1)
        bench.act()
        bench.workers.note_signal(0)

        bench.workers.note_end(1, -signum, 0)

        assert (bench.workers.is_over, bench.workers.exit_status) == (True, 0)


class TestReplacing:
    def test_a_worker_is_replaced_as_soon_as_it_takes_no_more_messages(self) -> None:
        bench = Bench(2)
        bench.start_all()

        bench.workers.note_due(1, "it has handled 10 message(s)", 0)
        assert bench.act() == [Tell(1, "recycle")]
        bench.workers.note_retired(1, 0)

        assert bench.act() == [Spawn(3, 1)]
        assert (
            logging.INFO,
            "Replacing worker 1 (process 1001): it has handled 10 message(s).",
        ) in bench.lines
        before = len(bench.lines)
        bench.workers.note_end(1, 0, 5)
        assert (bench.act(60), bench.lines[before:]) == ([], [])

    def test_that_is_no_death_after_which_the_next_pause_is_longer(self) -> None:
        bench = Bench(1)
        bench.start_all()
        key = 1
        for _ in range(5):
            bench.workers.note_due(key, "", bench.now)
            bench.act()
            bench.workers.note_retired(key, bench.now)
            [spawn] = bench.act()
            assert isinstance(spawn, Spawn)
            bench.workers.note_end(key, 0, bench.now)
            key = spawn.key
            bench.workers.note_pulling(key, bench.now)

        assert "Restarting it in 1.0 s." in bench.end(key, 1)

    def test_one_after_the_other_so_that_the_others_pull(self) -> None:
        bench = Bench(3)
        bench.start_all()
        for key in (1, 2, 3):
            bench.workers.note_due(key, "", 0)

        assert bench.act() == [Tell(1, "recycle")]
        bench.workers.note_retired(1, 0)
        assert bench.act() == [Spawn(4, 1)]
        bench.workers.note_pulling(4, 1)
        assert bench.act(1) == [Tell(2, "recycle")]

    def test_but_not_if_that_takes_long(self) -> None:
        bench = Bench(2)
        bench.start_all()
        for key in (1, 2):
            bench.workers.note_due(key, "", 0)
        assert bench.act() == [Tell(1, "recycle")]

        assert bench.workers.next_due() == 30
        assert bench.act(30) == [Tell(2, "recycle")]

    def test_and_not_while_a_worker_cannot_start_since_a_replacement_might_not_either(self) -> None:
        bench = Bench(2)
        bench.start_all()
        bench.end(1, 1)
        assert bench.act(1) == [Spawn(3, 1)]
        bench.end(3, 1)
        bench.workers.note_due(2, "", bench.now)

        assert bench.act(2) == [Spawn(4, 1)]
        assert bench.act(3600) == []
        assert bench.workers.next_due() is None
        bench.workers.note_pulling(4, bench.now)
        assert bench.act() == [Tell(2, "recycle")]

    def test_processes_that_do_not_end_do_not_pile_up(self) -> None:
        bench = Bench(1)
        bench.start_all()
        bench.workers.note_due(1, "", 0)
        bench.act()
        bench.workers.note_retired(1, 0)
        bench.act()
        bench.workers.note_pulling(2, 0)
        bench.workers.note_due(2, "", 0)

        assert bench.act(3600) == []
        assert bench.workers.next_due() is None
        bench.workers.note_end(1, 0, bench.now)
        assert bench.act() == [Tell(2, "recycle")]

    def test_one_that_still_ends_what_it_has_begun_is_stopped_with_the_others(self) -> None:
        bench = Bench(1)
        bench.start_all()
        bench.workers.note_due(1, "", 0)
        bench.act()
        bench.workers.note_retired(1, 0)
        bench.act()

        bench.workers.note_signal(0)

        assert bench.act() == [Tell(1, "stop"), Tell(2, "stop")]

    def test_one_that_ends_badly_is_reported_and_not_replaced_twice(self) -> None:
        bench = Bench(1)
        bench.start_all()
        bench.workers.note_due(1, "", 0)
        bench.act()
        bench.workers.note_retired(1, 0)
        bench.act()

        assert bench.end(1, -signal.SIGABRT) == (
            "Worker 1 (process 1001) was ended by SIGABRT (Aborted)."
        )
        assert bench.act(60) == []
