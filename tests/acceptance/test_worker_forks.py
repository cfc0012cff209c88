"""Workers whose handlers fork, while streams are open and other messages are handled."""

from __future__ import annotations

import signal
from collections.abc import Callable
from subprocess import Popen

import pytest

from tests.support.ledger import WRITE, Ledger
from tests.support.project import Project

StartWorker = Callable[[], Popen[str]]

SUBS = (
    WRITE
    + """
    import multiprocessing
    import time
    import warnings

    import rele
    from rele import sub

    LOAD = 1_000_000

    warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads

    def in_child(number):
        rele.publish("events", number, blocking=True, timeout=20)
        write(f"child {number}")

    def by_fork(number):
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            in_child(number)
            os._exit(0)
        return time.monotonic() - began, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def by_multiprocessing(number):
        process = multiprocessing.get_context("fork").Process(target=in_child, args=(number,))
        began = time.monotonic()
        process.start()
        took = time.monotonic() - began
        process.join()
        return took, process.exitcode

    WAYS = [by_fork, by_multiprocessing]

    @sub(topic="jobs", threads=THREADS)
    def fork(data, **attributes):
        took, status = WAYS[data % len(WAYS)](data)
        if status:
            write(f"crashed {status}")
        write(f"milliseconds {round(took * 1000)}")
        write(f"job {data}")

    @sub(topic="load")
    def handle(data, **attributes):
        if data % 10 == 0:
            rele.publish("events", LOAD + data)
        write(f"load {data}")

    @sub(topic="events")
    def receive(data, **attributes):
        write(f"event {data}")
"""
)


def start_load(project: Project, number: int) -> Popen[str]:
    """Publish ``number`` messages from a process of its own, for as long as jobs are handled."""
    project.write(
        "load.py",
        f"""
        import time
        import rele
        for number in range({number}):
            rele.publish("load", number)
            time.sleep(0.005)
        """,
    )
    return project.start("load.py")


@pytest.mark.parametrize(
    ("forks", "load", "threads"),
    [
        (20, 200, 1),
        (20, 200, 4),
        pytest.param(200, 4000, 1, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
        pytest.param(200, 4000, 4, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
def test_forks_of_handlers_lose_and_repeat_nothing(
    project: Project,
    start_worker: StartWorker,
    publish: Callable[[range], None],
    forks: int,
    load: int,
    threads: int,
) -> None:
    project.write_settings(ENGINE="rele")
    project.write("subs.py", SUBS.replace("THREADS", str(threads)))
    ledger = Ledger(project.folder)
    worker = start_worker()

    publishing = start_load(project, load)
    publish(range(forks))

    ledger.wait_for("job", forks, 200)
    assert publishing.wait(60) == 0
    ledger.wait_for("load", load, 60)
    events = [*range(forks), *range(1_000_000, 1_000_000 + load, 10)]
    ledger.wait_for("event", len(events), 60)
    assert ledger.check(range(forks), begun=None, handled="job") == []
    assert ledger.check(range(load), begun=None, handled="load") == []
    assert ledger.check(events, begun=None, handled="event") == []
    assert ledger.count("child") == dict.fromkeys(range(forks), 1)
    assert not ledger.count("crashed")
    assert max(ledger.count("milliseconds")) < 2000, "a fork waits for 1.5 s at most"
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=30)
    assert worker.returncode == 0, output
    assert "gRPC" not in output, output


SUBPROCESSES = (
    WRITE
    + """
    import subprocess

    from rele import sub

    @sub(topic="jobs", threads=4)
    def start(data, **attributes):
        options = {"preexec_fn": os.setpgrp} if data % 2 else {}
        subprocess.run(["true"], check=True, **options)
        write(f"job {data}")
"""
)


@pytest.mark.slow
def test_handlers_start_programs(
    project: Project, start_worker: StartWorker, publish: Callable[[range], None]
) -> None:
    """``preexec_fn`` makes a real fork of it; without, Python calls nothing before."""
    project.write_settings(ENGINE="rele")
    project.write("subs.py", SUBPROCESSES)
    ledger = Ledger(project.folder)
    worker = start_worker()

    publish(range(60))

    ledger.wait_for("job", 60)
    assert ledger.check(range(60), begun=None, handled="job") == []
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


RETURNS_IN_THE_CHILD = (
    WRITE
    + """
    import warnings

    from rele import sub

    warnings.simplefilter("ignore", DeprecationWarning)
    parent = os.getpid()

    @sub(topic="jobs", threads=1)
    def fork(data, **attributes):
        write(f"job {data}")
        if data == 0:
            os.fork()  # and both processes go on
        if os.getpid() != parent:
            write(f"inherited {data}")
"""
)


def test_a_handler_that_returns_in_the_child_handles_no_other_message_there(
    project: Project, start_worker: StartWorker, publish: Callable[[range], None]
) -> None:
    project.write_settings(ENGINE="rele")
    project.write("subs.py", RETURNS_IN_THE_CHILD)
    ledger = Ledger(project.folder)
    worker = start_worker()

    publish(range(30))

    ledger.wait_for("job", 30)
    assert ledger.check(range(30), begun=None, handled="job") == []
    assert ledger.count("inherited") == {0: 1}
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


FORKS_IN_MAIN_THREAD = (
    WRITE
    + """
    import signal
    import threading
    import warnings

    import rele
    from rele import sub

    warnings.simplefilter("ignore", DeprecationWarning)
    numbers = iter(range(1000))

    def fork(*_):
        number = next(numbers)
        if os.fork() == 0:
            rele.publish("events", number, blocking=True, timeout=20)
            os._exit(0)
        os.wait()
        write(f"forked {number}")

    signal.signal(signal.SIGUSR1, fork)  # runs in the main thread, which waits for the workers

    @sub(topic="jobs")
    def handle(data, **attributes):
        write(f"job {data}")

    @sub(topic="events")
    def receive(data, **attributes):
        write(f"event {data}")
"""
)


def test_a_signal_handler_may_fork(
    project: Project, start_worker: StartWorker, publish: Callable[[range], None]
) -> None:
    project.write_settings(ENGINE="rele")
    project.write("subs.py", FORKS_IN_MAIN_THREAD)
    ledger = Ledger(project.folder)
    worker = start_worker()

    for number in range(5):
        worker.send_signal(signal.SIGUSR1)
        publish(range(number * 10, number * 10 + 10))
        ledger.wait_for("forked", number + 1)

    ledger.wait_for("job", 50)
    ledger.wait_for("event", 5)
    assert ledger.check(range(50), begun=None, handled="job") == []
    assert ledger.check(range(5), begun=None, handled="event") == []
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
