"""Stopping a worker: real processes and real signals."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.support.ledger import WRITE, Expected, Ledger
from tests.support.processors import seconds_to_end
from tests.support.project import Project, publish_jobs, read_until, signal_until_it_ends

pytestmark = pytest.mark.both_engines(slow="google")

StartWorker = Callable[[], "subprocess.Popen[str]"]

HANDLER = (
    WRITE
    + """
    from pathlib import Path
    from rele import sub
    from rele.retry_policy import RetryPolicy

    GATE = Path("gate")

    @sub(topic="jobs", retry_policy=RetryPolicy(1, 2))
    def work(data, **kwargs):
        write(f"begin {data}")
        while not GATE.exists():
            time.sleep(0.01)
        write(f"end {data}")
"""
)


@pytest.fixture
def publish(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Publish that many jobs, numbered from 0."""

    def publish(count: int) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
        publish_jobs(project, range(count))

    return publish


@pytest.fixture
def ledger(project: Project) -> Ledger:
    return Ledger(project.folder)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGTSTP])
def test_running_handlers_finish_and_nothing_is_lost_or_repeated(
    project: Project,
    start_worker: StartWorker,
    publish: Callable[[int], None],
    signum: int,
    ledger: Ledger,
) -> None:
    project.write("subs.py", HANDLER)
    project.write_settings(THREADS_PER_SUBSCRIPTION=50)
    worker = start_worker()
    publish(200)
    ledger.wait_for("begin", 50)

    worker.send_signal(signum)
    read_until(worker.stdout, "are nacked")
    (project.folder / "gate").touch()

    assert worker.wait(timeout=30) == 0
    assert len(ledger.lines("end")) == 50

    start_worker()
    ledger.wait_for("end", 200)
    assert ledger.check(range(200), expected=Expected(threads=50)) == []


def test_an_idle_worker_stops_cleanly(project: Project, start_worker: StartWorker) -> None:
    project.write("subs.py", HANDLER)
    worker = start_worker()

    worker.send_signal(signal.SIGTERM)

    output, _ = worker.communicate(timeout=10)
    assert worker.returncode == 0
    assert "Traceback" not in output


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_until_an_idle_worker_has_ended_do_not_change_its_status(
    project: Project, start_worker: StartWorker, signum: int
) -> None:
    project.write("subs.py", HANDLER)
    worker = start_worker()

    signal_until_it_ends(worker, signum)

    assert worker.returncode == 0


def test_a_second_signal_ends_the_process_at_once_after_a_second(
    project: Project, start_worker: StartWorker, publish: Callable[[int], None], ledger: Ledger
) -> None:
    project.write("subs.py", HANDLER)
    worker = start_worker()
    publish(1)
    ledger.wait_for("begin", 1)

    started = time.monotonic()
    while worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        assert time.monotonic() < started + 20

    output, _ = worker.communicate(timeout=20)
    assert worker.returncode == 1
    assert time.monotonic() - started >= 1
    assert output.count("A second signal ends") == 1
    assert (
        "A second signal ends the process at once: 1 running handler(s) are abandoned, and their "
        "messages will be redelivered.\n"
    ) in output


def test_a_handler_that_does_not_end_is_given_up_at_the_shutdown_timeout(
    project: Project, start_worker: StartWorker, publish: Callable[[int], None], ledger: Ledger
) -> None:
    project.write("subs.py", HANDLER)
    project.write_settings(SHUTDOWN_TIMEOUT=1.5)
    worker = start_worker()
    publish(1)
    ledger.wait_for("begin", 1)

    worker.send_signal(signal.SIGTERM)

    output, _ = worker.communicate(timeout=20)
    assert worker.returncode == 1
    assert "1 handler(s) still ran after 1.5 s" in output
    waiting, _, _ = output.partition("still ran")
    assert (
        "Waiting up to 1.5 s for 1 running handler(s) to finish. A second signal, such as Ctrl-C, "
        "ends the process at once." in waiting
    )


def test_stop_installed_as_a_signal_handler_stops_a_worker_built_directly(
    project: Project, publish: Callable[[int], None], ledger: Ledger
) -> None:
    project.write("subs.py", HANDLER)
    script = project.write(
        "by_hand.py",
        f"""
        import signal
        from rele import Worker
        from subs import work

        worker = Worker([work], None, "{project.project_id}")
        signal.signal(signal.SIGTERM, worker.stop)
        worker.setup()
        print("set up", flush=True)
        worker.run_forever(sleep_interval=60)
        """,
    )
    worker = project.start(str(script))
    read_until(worker.stdout, "set up")
    publish(1)
    ledger.wait_for("begin", 1)

    worker.send_signal(signal.SIGTERM)
    (project.folder / "gate").touch()

    output, _ = worker.communicate(timeout=20)
    assert (worker.returncode, output) == (0, "")
    assert ledger.check(range(1)) == []


def test_what_handlers_publish_at_the_end_is_sent(
    project: Project, start_worker: StartWorker, publish: Callable[[int], None], ledger: Ledger
) -> None:
    project.write(
        "subs.py",
        HANDLER
        + """
        rele.publish("results", data)

    import rele

    @sub(topic="results")
    def collect(data, **kwargs):
        write(f"result {data}")
    """,
    )
    worker = start_worker()
    publish(2)
    ledger.wait_for("begin", 2)
    worker.send_signal(signal.SIGTERM)
    (project.folder / "gate").touch()
    assert worker.wait(timeout=30) == 0

    start_worker()
    ledger.wait_for("result", 2)


def test_a_worker_whose_server_is_unavailable_stops_cleanly(project: Project) -> None:
    project.write("subs.py", HANDLER)
    server = project.start("-m", "rele", "emulator", "--host-port", "127.0.0.1:0")
    address = read_until(server.stdout, "PUBSUB_EMULATOR_HOST=").strip().rpartition("=")[2]
    project.environment["PUBSUB_EMULATOR_HOST"] = address
    worker = project.start("-m", "rele", "run")
    read_until(worker.stdout, "Pulling messages")
    server.kill()
    server.wait(timeout=10)

    assert seconds_to_end(worker, signal.SIGTERM) < 5
    assert worker.returncode == 0
