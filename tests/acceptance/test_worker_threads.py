"""Workers for which the system starts no more threads, as where a container's limit is reached."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.support.ledger import WRITE, Ledger
from tests.support.project import Project, read_until

if sys.platform != "linux":
    pytest.skip("The limit is one of Linux.", allow_module_level=True)

SUBS = (
    WRITE
    + """
    from rele import sub

    @sub(topic="jobs")
    def handle(data, **attributes):
        write(f"job {data}")
"""
)

WORKER = """
    import logging
    import os
    import time
    from pathlib import Path

    import rele
    import settings
    import subs
    from rele.exceptions import ThreadStartError
    from rele.worker import make_worker
    from tests.support.thread_limit import ThreadLimit

    logging.basicConfig(format="%(levelname)s %(message)s")
    logging.getLogger("rele.resources").setLevel(logging.ERROR)

    def wait_for(name):
        while not Path(name).exists():
            time.sleep(0.01)

    config = rele.setup(settings.RELE)
    worker = make_worker([subs.handle], config)
    worker.setup()
    limit = ThreadLimit()
    limit.begin()
    try:
        worker.start()
    except ThreadStartError as error:
        print("REFUSED", error, flush=True)
    limit.end()
    worker.start()
    print("PULLING", flush=True)
    wait_for("limit")
    limit.begin()
    print("LIMITED", flush=True)
    wait_for("unlimited")
    limit.end()
    wait_for("over")
    os._exit(0)
"""


def test_messages_wait_until_threads_can_be_started(
    project: Project, publish: Callable[[range], None]
) -> None:
    project.folder.chmod(0o777)  # the worker gives up being root
    project.write_settings(ENGINE="rele")
    project.write("subs.py", SUBS)
    project.write("worker.py", WORKER)
    project.write("ledger", "").chmod(0o666)
    ledger = Ledger(project.folder)
    worker = project.start("worker.py")

    refused = read_until(worker.stdout, "REFUSED")
    assert "No thread can be started for " in refused
    assert "raise the limit of threads" in refused
    read_until(worker.stdout, "PULLING")
    publish(range(1))
    ledger.wait_for("job", 1)

    project.write("limit", "")
    read_until(worker.stdout, "LIMITED")
    publish(range(1, 20))
    project.write("unlimited", "")

    ledger.wait_for("job", 20, 60)
    assert ledger.check(range(20), begun=None, handled="job") == []
    project.write("over", "")
    output, _ = worker.communicate(timeout=20)
    assert "Traceback" not in output
