"""Signals at moments other than the middle of a worker's work."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support.processors import seconds_to_end
from tests.support.project import Project, read_until
from tests.support.stub_servers import SilentServer

pytestmark = pytest.mark.both_engines(slow="google")

SUBS = """
    from rele import sub

    @sub(topic="jobs")
    def work(data, **attributes): ...
"""

NOISY_CHECK = """
import rele.worker
check = rele.worker.check_internet_connection

def noisy_check(address):
    print("checking the connection", flush=True)
    return check(address)

rele.worker.check_internet_connection = noisy_check
"""

WITHOUT_DJANGO = ("-m", "rele", "run")
WITH_DJANGO = ("-m", "django", "runrele")
DOORS = pytest.mark.parametrize("door", [WITHOUT_DJANGO, WITH_DJANGO], ids=" ".join)


@pytest.fixture
def shop(project: Project) -> Project:
    """A project that both doors lead to."""
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.write_settings()
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write("INSTALLED_APPS = ['rele', 'shop']\n")
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    return project


def assert_ends_soon(process: subprocess.Popen[str], signum: int) -> None:
    """With status 0, within 2 s, and without a traceback."""
    seconds = seconds_to_end(process, signum)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in output) == (0, False), output
    assert seconds < 2, output


@DOORS
@pytest.mark.parametrize(
    "method",
    [
        "GetSubscription",
        # Where the worker waits for an answer before it consumes, all in the same way.
        *(
            pytest.param(method, marks=pytest.mark.slow)
            for method in ("GetTopic", "CreateTopic", "CreateSubscription")
        ),
        "StreamingPull",
    ],
)
def test_a_worker_ends_although_its_server_does_not_answer(
    shop: Project, door: Sequence[str], method: str
) -> None:
    with SilentServer(method).listening() as server:
        shop.environment["PUBSUB_EMULATOR_HOST"] = server.address
        worker = shop.start(*door)
        server.calls.wait_until(lambda calls: method in calls)

        assert_ends_soon(worker, signal.SIGTERM)


@DOORS
def test_a_worker_ends_while_it_checks_the_connection(shop: Project, door: Sequence[str]) -> None:
    with (shop.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(NOISY_CHECK)
    shop.environment["PUBSUB_EMULATOR_HOST"] = "127.0.0.1:1"
    worker = shop.start(*door)
    read_until(worker.stdout, "checking the connection")

    assert_ends_soon(worker, signal.SIGTERM)


@DOORS
def test_a_terminal_that_is_closed_stops_a_worker(shop: Project, door: Sequence[str]) -> None:
    worker = shop.start(*door)
    read_until(worker.stdout, "Pulling")

    assert_ends_soon(worker, signal.SIGHUP)


@DOORS
def test_nohup_keeps_a_worker_alive(shop: Project, door: Sequence[str]) -> None:
    worker = subprocess.Popen(
        ["nohup", sys.executable, *door],
        cwd=shop.folder,
        env=shop.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with worker:
        read_until(worker.stdout, "Pulling")
        worker.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(1)

        assert_ends_soon(worker, signal.SIGTERM)
