"""runrele under DEBUG: it starts again when the code changes, and loses no message over it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.polling import wait_until
from tests.support.project import Project, publish_jobs, read_until

SUBS = """
    import os
    import time
    from pathlib import Path

    from rele import sub

    @sub(topic="jobs")
    def work(data, **kwargs):
        os.write(1, f"VERSION begins {data} in {os.getpid()}\\n".encode())
        while data == "slow" and not Path("may_end").exists():
            time.sleep(0.01)  # nothing tells a handler of a file
        os.write(1, f"VERSION handled {data}\\n".encode())
"""

SETTINGS = """
INSTALLED_APPS = ["rele", "shop"]
DEBUG = True
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"rele": {"handlers": ["console"], "level": "INFO"}},
}
"""


def write_subs(project: Project, version: str) -> None:
    project.write("shop/subs.py", SUBS.replace("VERSION", version))


@pytest.fixture
def shop(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.write_settings()
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    project.write("shop/__init__.py", "")
    write_subs(project, "v1")
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    project.environment["PYTHONDONTWRITEBYTECODE"] = "1"  # two versions within a second
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    return project


@pytest.fixture
def worker(shop: Project) -> Iterator[subprocess.Popen[str]]:
    worker = shop.start("-m", "django", "runrele")
    read_until(worker.stdout, "Pulling messages")
    yield worker
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=20) == 0


def test_a_change_starts_it_again_and_a_running_handler_finishes_before(
    shop: Project, worker: subprocess.Popen[str]
) -> None:
    publish_jobs(shop, ["slow"])
    read_until(worker.stdout, "v1 begins slow")

    write_subs(shop, "v2")
    read_until(worker.stdout, "subs.py has changed")
    (shop.folder / "may_end").touch()
    output = read_until(worker.stdout, "Pulling messages")
    publish_jobs(shop, [2])
    output += read_until(worker.stdout, "v2 handled 2")

    assert output.count("v1 handled slow") == 1
    assert "v2 begins slow" not in output


def test_a_syntax_error_and_a_deleted_file_are_survived(
    shop: Project, worker: subprocess.Popen[str]
) -> None:
    shop.write("shop/subs.py", "def work(:\n")
    output = read_until(worker.stdout, "starts again when a file changes")
    assert "shop.subs" in output

    write_subs(shop, "v2")
    read_until(worker.stdout, "Pulling messages")
    publish_jobs(shop, [1])
    read_until(worker.stdout, "v2 handled 1")

    (shop.folder / "shop/subs.py").unlink()
    read_until(worker.stdout, "subs.py was deleted: the worker stops gracefully and starts again")
    write_subs(shop, "v3")
    read_until(worker.stdout, "Pulling messages")


def test_a_syntax_error_where_django_starts_is_survived(
    shop: Project, worker: subprocess.Popen[str]
) -> None:
    shop.write("shop/models.py", "")
    publish_jobs(shop, [1])
    read_until(worker.stdout, "v1 handled 1")
    shop.write("shop/__init__.py", "def work(:\n")
    read_until(worker.stdout, "starts again when a file changes")

    shop.write("shop/__init__.py", "")
    read_until(worker.stdout, "Pulling messages")


def test_an_error_before_any_change_ends_it(shop: Project) -> None:
    shop.write("shop/subs.py", "def work(:\n")

    status, output = shop.run("-m", "django", "runrele")

    assert status == 1
    assert "shop.subs" in output
    assert "starts again" not in output


def test_its_worker_ends_when_it_is_killed(shop: Project, worker: subprocess.Popen[str]) -> None:
    publish_jobs(shop, [1])
    line = read_until(worker.stdout, "v1 begins 1").splitlines()[-1]
    process_id = int(line.rpartition(" ")[2])
    assert process_id != worker.pid

    worker.kill()

    read_until(worker.stdout, "v1 handled 1")
    wait_until(lambda: not Path(f"/proc/{process_id}").exists(), 20)


@pytest.mark.parametrize("debug", [True, False])
def test_without_reloading_it_is_one_process(shop: Project, debug: bool) -> None:
    options = ("--noreload",) if debug else ()
    if not debug:
        with (shop.folder / "settings.py").open("a", encoding="utf-8") as file:
            file.write("DEBUG = False\n")
    worker = shop.start("-m", "django", "runrele", *options)
    read_until(worker.stdout, "Pulling messages")

    publish_jobs(shop, [1])

    read_until(worker.stdout, f"v1 begins 1 in {worker.pid}")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0


@pytest.mark.slow
def test_several_processes_start_again_together(shop: Project) -> None:
    worker = shop.start("-m", "django", "runrele", "--processes", "2")
    read_until(worker.stdout, "Pulling messages")

    write_subs(shop, "v2")
    read_until(worker.stdout, "subs.py has changed")
    read_until(worker.stdout, "Pulling messages")
    publish_jobs(shop, [1])
    read_until(worker.stdout, "v2 handled 1")

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
