"""Where the operating system lacks what Windows lacks; here it is taken away before the start."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.support.project import Project, read_until

# Python imports a module of this name first of all. gRPC's own fork handlers are turned off, since
# its build for Windows has none.
SITECUSTOMIZE = """
    import os
    import signal
    import sys

    for name in ("register_at_fork", "fork", "forkpty"):
        delattr(os, name)
    for name in ("SIGTSTP", "SIGHUP", "SIGCONT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL"):
        delattr(signal, name)
    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
"""

SUBS = """
    import rele
    from rele import sub

    @sub(topic="jobs")
    def work(data, **attributes):
        print(f"worked {data}", flush=True)
        rele.publish("events", data)
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write("sitecustomize.py", SITECUSTOMIZE)
    return project


def test_all_modules_can_be_imported(project: Project) -> None:
    status, output = project.run(
        "-c",
        """
import importlib, pkgutil
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=[
    *(f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages")),
    *("rele", "rele.contrib.outbox", "rele.contrib.inbox"),
])
django.setup()
import rele
for module in pkgutil.walk_packages(rele.__path__, "rele."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("done")
""",
    )

    assert status == 0, output
    assert output.endswith("done\n")


def test_messages_are_published_and_consumed_and_the_worker_stops(
    project: Project,
    start_worker: Callable[[], subprocess.Popen[str]],
    events: Callable[[], set[int]],
) -> None:
    project.write("subs.py", SUBS)
    worker = start_worker()

    status, output = project.run("-m", "rele", "publish", "jobs", "42")
    assert status == 0, output

    read_until(worker.stdout, "worked 42")
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    assert events() == {42}


def test_the_embedded_server_keeps_messages_in_memory(project: Project) -> None:
    server = project.start("-m", "rele", "emulator", "--host-port", "127.0.0.1:0")
    read_until(server.stdout, "127.0.0.1:")

    server.terminate()
    assert server.wait(timeout=20) == 0


def test_a_data_directory_is_refused_with_what_is_missing(project: Project) -> None:
    status, output = project.run(
        "-m", "rele", "emulator", "--host-port", "127.0.0.1:0", "--data-dir", "data"
    )

    assert status == 1
    assert "lacks Python's module fcntl" in output
    assert "Start the server without --data-dir" in output
    assert "Traceback" not in output
