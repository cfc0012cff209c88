"""Workers that are killed, get stuck, or have to stop in the middle of much work."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from google.cloud import pubsub_v1

from rele.emulator.status.query import ask_status
from tests.support.ledger import WRITE, Expected, Ledger
from tests.support.project import Project, read_until

pytestmark = pytest.mark.both_engines(slow="google")

LOOP = pytest.mark.parametrize(
    "rounds", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)

AT_A_TIME = 3
"""Rounds that run side by side: most of one is waiting."""

NewProject = Callable[[], Project]


@pytest.fixture
def new_project(
    tmp_path: Path, embedded_server: str, project_id: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NewProject]:
    """Make a project of its own, with a topic ``jobs``."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    projects: list[Project] = []
    numbers = count()  # the rounds of a loop run in threads

    def new() -> Project:
        name = f"{project_id}-{next(numbers)}"
        project = Project(tmp_path / name, embedded_server, name)
        projects.append(project)
        project.folder.mkdir()
        project.write_settings()
        with pubsub_v1.PublisherClient() as publisher:
            publisher.create_topic(request={"name": f"projects/{name}/topics/jobs"})
        return project

    yield new
    for project in projects:
        project.kill_all()


def start_worker(project: Project) -> Popen[str]:
    worker = project.start("-m", "rele", "run")
    read_until(worker.stdout, "Pulling messages")
    return worker


def publish(project: Project, numbers: Sequence[int]) -> None:
    publisher = pubsub_v1.PublisherClient()
    topic = f"projects/{project.project_id}/topics/jobs"
    futures = [publisher.publish(topic, b"%d" % number) for number in numbers]
    publisher.stop()
    for future in futures:
        future.result(10)


def status(project: Project) -> dict[str, Any]:
    """The subscription of the project, as the server sees it."""
    report = ask_status(project.environment["PUBSUB_EMULATOR_HOST"])
    [found] = [
        each
        for each in report["subscriptions"]
        if each["name"].startswith(f"projects/{project.project_id}/")
    ]
    return dict(found)


def wait_for_status(project: Project, **wanted: int) -> None:
    deadline = time.monotonic() + 20
    while not wanted.items() <= (found := status(project)).items():
        assert time.monotonic() < deadline, found
        time.sleep(0.02)  # another process has it


def play(rounds: int, play_round: Callable[[int], None]) -> None:
    """Play the rounds, a few side by side; each gets its seed, which is shown if it fails."""
    seeds = [random.randrange(1_000_000) for _ in range(rounds)]
    print(f"seeds {seeds}")
    with ThreadPoolExecutor(AT_A_TIME) as executor:
        for _ in executor.map(play_round, seeds):
            pass


HANDS_FULL = (
    WRITE
    + """
    import time
    from pathlib import Path
    from rele import sub
    from rele.retry_policy import RetryPolicy

    GATE = Path("gate")

    POLICY = RetryPolicy(0.1, 1)

    @sub(
        topic="jobs",
        max_messages=500,
        flow="fixed",
        threads=20,
        ack_deadline=10,
        retry_policy=POLICY,
    )
    def work(data, **kwargs):
        write(f"begin {data}")
        while data >= int(GATE.read_text()):
            time.sleep(0.02)
        write(f"end {data}")
"""
)


@LOOP
def test_kill_9_of_a_worker_with_500_outstanding_messages_loses_none(
    new_project: NewProject, rounds: int
) -> None:
    def play_round(seed: int) -> None:
        project = new_project()
        project.write("subs.py", HANDS_FULL)
        # The first ones are done; how many that are differs, and so does what is under way.
        done = random.Random(seed).randrange(100)
        project.write("gate", str(done))
        ledger = Ledger(project.folder)
        worker = start_worker(project)
        publish(project, range(done))  # apart, as Google's client sends batches in any order
        publish(project, range(done, done + 500))
        ledger.wait_for("end", done)
        wait_for_status(project, waiting=0, outstanding=500)

        worker.kill()
        worker.wait(timeout=10)
        project.write("gate", "1000")
        start_worker(project)

        ledger.wait_for("end", done + 500)
        expected = Expected(killed=[worker.pid], threads=20)
        assert ledger.check(range(done + 500), expected=expected) == []
        assert ledger.count("end").total() == done + 500
        wait_for_status(project, waiting=0, outstanding=0)

    play(rounds, play_round)


STUCK = (
    WRITE
    + """
    import threading
    from rele import sub
    from rele.retry_policy import RetryPolicy

    stuck_once = threading.Event()
    another_is_through = threading.Event()

    def wait_for_what_never_comes():
        another_is_through.wait()

    @sub(topic="jobs", threads=2, max_lease_duration=2, retry_policy=RetryPolicy(0.1, 1))
    def work(data, **kwargs):
        write(f"begin {data}")
        if data == 0 and not stuck_once.is_set():
            stuck_once.set()
            wait_for_what_never_comes()
        if data == 100:
            another_is_through.set()
        write(f"end {data}")
"""
)


def test_a_handler_that_never_returns_loses_its_message_and_says_where_it_is(
    new_project: NewProject,
) -> None:
    project = new_project()
    project.write("subs.py", STUCK)
    ledger = Ledger(project.folder)
    worker = start_worker(project)
    publish(project, [0])
    ledger.wait_for("begin", 1)
    began = time.monotonic()

    publish(project, range(1, 21))
    ledger.wait_for("end", 20)
    assert ledger.check(range(21), expected=Expected(waiting=[0])) == []
    assert time.monotonic() - began < 2  # before the lease is over

    said = read_until(worker.stdout, "another_is_through.wait()")
    assert time.monotonic() - began < 4
    assert "The handler of jobs has had the message" in said
    assert "in wait_for_what_never_comes" in said
    assert ledger.wait_for("end", 21, seconds=6)[0] == 1  # before its last extension is over
    assert ledger.count("begin")[0] == 2

    publish(project, [100])  # lets the stuck one return after all
    wait_for_status(project, waiting=0, outstanding=0)
    publish(project, range(101, 121))
    ledger.wait_for("end", 42)
    worker.send_signal(signal.SIGTERM)
    rest, _ = worker.communicate(timeout=20)
    assert worker.returncode == 0
    assert "wait_for_what_never_comes" not in rest
    accepted = [*range(21), *range(100, 121)]
    assert ledger.check(accepted, expected=Expected(again=[0])) == []
    assert ledger.count("end")[0] == 2


LAST_MOMENT = (
    WRITE
    + """
    import threading
    import time
    from pathlib import Path
    from rele import sub

    MOMENT = Path("moment")

    @sub(topic="jobs", threads=2)
    def work(data, **kwargs):
        write(f"begin {data}")
        if data == 0:
            threading.Event().wait()
        while not MOMENT.exists():
            time.sleep(0.01)
        time.sleep(float(MOMENT.read_text()) - time.monotonic())
        write(f"end {data}")
"""
)


def test_what_ends_at_the_last_moment_is_acknowledged_though_another_is_given_up(
    new_project: NewProject,
) -> None:
    project = new_project()
    project.write("subs.py", LAST_MOMENT)
    project.write_settings(SHUTDOWN_TIMEOUT=1.0)
    ledger = Ledger(project.folder)
    worker = start_worker(project)
    publish(project, [0, 1])
    ledger.wait_for("begin", 2)

    project.write("next", str(time.monotonic() + 0.98)).rename(project.folder / "moment")
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=20)

    assert worker.returncode == 1
    assert "1 handler(s) still ran" in output
    assert ledger.check([0, 1], expected=Expected(waiting=[0], threads=2)) == []
    assert status(project)["outstanding"] == 1


LOADED = (
    WRITE
    + """
    import time
    from rele import sub
    from rele.retry_policy import RetryPolicy

    @sub(topic="jobs", flow="fixed", threads=20, retry_policy=RetryPolicy(1, 2))
    def work(data, **kwargs):
        write(f"begin {data}")
        time.sleep(0.08)  # long beside an acknowledgement, or at times none would wait
        write(f"end {data}")
"""
)

MESSAGES = 1000
SHUTDOWN_TIMEOUT = 30
LEASE = 10
"""Seconds for which Google's client extends a message."""


@LOOP
def test_sigterm_under_load_repeats_nothing_that_was_finished_and_loses_nothing(
    new_project: NewProject, rounds: int
) -> None:
    def play_round(seed: int) -> None:
        chance = random.Random(seed)
        project = new_project()
        project.write("subs.py", LOADED)
        ledger = Ledger(project.folder)
        worker = start_worker(project)
        publish(project, range(MESSAGES))
        for stops, goal in enumerate(sorted(chance.sample(range(100, MESSAGES - 100), 2))):
            ledger.wait_for("end", goal)
            worker.send_signal(signal.SIGTERM)
            output, _ = worker.communicate(timeout=SHUTDOWN_TIMEOUT)
            stopped = time.monotonic()
            assert worker.returncode == 0, output
            # What was nacked at the first stop may not be redelivered yet at the second.
            assert stops or "were not begun are nacked" in output
            # What was begun has ended, and what was not begun is nobody's.
            assert ledger.count("begin") == ledger.count("end")
            wait_for_status(project, outstanding=0)
            assert time.monotonic() - stopped < LEASE / 2, "it was nacked, and no lease had to end"
            worker = start_worker(project)

        ledger.wait_for("end", MESSAGES, 60)
        assert ledger.check(range(MESSAGES), expected=Expected(threads=20)) == []
        assert ledger.count("begin") == ledger.count("end")
        wait_for_status(project, waiting=0, outstanding=0)

    play(rounds, play_round)
