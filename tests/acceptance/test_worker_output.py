"""Workers whose output cannot be printed: real processes, broken pipes and a full disk."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from rele import RetryPolicy, Subscriber, Subscription
from tests.support.ledger import WRITE, Ledger
from tests.support.project import Project, publish_jobs, read_until
from tests.support.servers import free_port, wait_for_port

SUBS = (
    WRITE
    + """
    import logging, sys, time
    from pathlib import Path
    from rele import sub
    from rele.retry_policy import RetryPolicy

    logger = logging.getLogger("shop")

    @sub(topic="jobs", retry_policy=RetryPolicy(1, 2))
    def work(data, **attributes):
        write(f"begin {data}")
        print("printed", data, flush=True)
        print("an error", data, file=sys.stderr, flush=True)
        logger.warning("logged %s", data)
        while Path("stuck").exists():
            time.sleep(0.01)
        write(f"end {data}")
"""
)

LOGGING = {
    "version": 1,
    "handlers": {
        "stream": {"class": "logging.StreamHandler"},
        "file": {"class": "logging.FileHandler", "filename": "/dev/full"},
    },
    "root": {"handlers": ["stream", "file"], "level": "DEBUG"},
}

WITHOUT_DJANGO = ("-m", "rele", "run")
WITH_DJANGO = ("-m", "django", "runrele")
DOORS = pytest.mark.parametrize("door", [WITHOUT_DJANGO, WITH_DJANGO], ids=" ".join)
# Both doors, and both kinds of output; the other combinations only where time does not matter.
DOORS_AND_BUFFERED = pytest.mark.parametrize(
    ("door", "is_buffered"),
    [
        pytest.param(WITHOUT_DJANGO, False, id="-m rele run-unbuffered"),
        pytest.param(WITH_DJANGO, True, id="-m django runrele-buffered"),
        pytest.param(WITHOUT_DJANGO, True, id="-m rele run-buffered", marks=pytest.mark.slow),
        pytest.param(WITH_DJANGO, False, id="-m django runrele-unbuffered", marks=pytest.mark.slow),
    ],
)

needs_dev_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def shop(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that both doors lead to."""
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.write_settings(SHUTDOWN_TIMEOUT=1.0)
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write("INSTALLED_APPS = ['rele', 'shop']\n")
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    return project


def make_subscription(shop: Project) -> None:
    """Let no job be lost that is published before the worker has made its subscription."""
    subscriber = Subscriber(shop.project_id, None, None, None)
    subscriber.update_or_create_subscription(
        Subscription(print, "jobs", retry_policy=RetryPolicy(1, 2))
    )
    subscriber.close()


@pytest.fixture
def start(shop: Project) -> Iterator[Start]:
    """Start a Python process with that standard output and standard error."""
    processes = []

    def start(arguments: Sequence[str], stdout: int, stderr: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=shop.folder,
            env=shop.environment,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@DOORS_AND_BUFFERED
def test_a_stuck_worker_ends_although_who_reads_its_output_has_ended(
    shop: Project, start: Start, door: Sequence[str], is_buffered: bool
) -> None:
    if is_buffered:
        del shop.environment["PYTHONUNBUFFERED"]
    (shop.folder / "stuck").touch()
    worker = start(door, subprocess.PIPE, subprocess.STDOUT)
    read_until(worker.stdout, "Pulling")
    publish_jobs(shop, [1])
    Ledger(shop.folder).wait_for("begin", 1)

    assert worker.stdout is not None
    worker.stdout.close()  # as `tee` ends by the same Ctrl-C
    worker.send_signal(signal.SIGINT)

    assert worker.wait(timeout=20) == 1


@DOORS_AND_BUFFERED
def test_a_handler_that_prints_into_a_broken_pipe_handles_its_message(
    shop: Project, start: Start, door: Sequence[str], is_buffered: bool
) -> None:
    if is_buffered:
        del shop.environment["PYTHONUNBUFFERED"]
    worker = start(door, subprocess.PIPE, subprocess.STDOUT)
    read_until(worker.stdout, "Pulling")
    assert worker.stdout is not None
    worker.stdout.close()

    publish_jobs(shop, range(3))

    ledger = Ledger(shop.folder)
    ledger.wait_for("end", 3)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    assert ledger.check(range(3)) == []


@needs_dev_full
@DOORS_AND_BUFFERED
def test_a_full_disk_stops_no_worker(
    shop: Project, start: Start, door: Sequence[str], is_buffered: bool
) -> None:
    if is_buffered:
        del shop.environment["PYTHONUNBUFFERED"]
    with (shop.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(f"LOGGING = {LOGGING!r}\n")
        file.write("import logging.config\nlogging.config.dictConfig(LOGGING)\n")
    make_subscription(shop)
    with Path("/dev/full").open("w") as full:
        worker = start(door, full.fileno(), full.fileno())
    publish_jobs(shop, [1])

    Ledger(shop.folder).wait_for("end", 1)

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0


@DOORS
def test_closed_output_stops_no_worker(shop: Project, door: Sequence[str]) -> None:
    make_subscription(shop)
    worker = subprocess.Popen(
        ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', sys.executable, *door],
        cwd=shop.folder,
        env=shop.environment,
    )
    try:
        publish_jobs(shop, [1])
        Ledger(shop.folder).wait_for("end", 1)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=20) == 0
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait(10)


@needs_dev_full
def test_a_full_disk_stops_no_server(shop: Project, start: Start) -> None:
    port = free_port()
    arguments = ("-m", "rele", "emulator", "--host-port", f"127.0.0.1:{port}")
    with Path("/dev/full").open("w") as full:
        server = start(arguments, full.fileno(), full.fileno())

    wait_for_port(port)

    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=20) == 0
