"""Processes that fork while they publish, as gunicorn with ``--preload`` does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.project import Project

BOTH = pytest.mark.both_engines(slow="google")

PUBLISH_AND_FORK = """
    import os
    import sys
    import time
    import warnings

    import rele

    warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads
    for number in range(500):
        rele.publish("events", number)
    children = []
    for child in range(1, 4):
        pid = os.fork()
        if pid == 0:
            started = time.monotonic()
            rele.publish("events", 1000 * child, blocking=True, timeout=20)
            seconds = time.monotonic() - started
            os.write(1, f"a child published after {seconds:.3f} s\\n".encode())  # in one piece
            rele.publish("events", 1000 * child + 1)
            sys.exit(0)
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0) == (pid, 0)
"""

PUBLISH_IN_MULTIPROCESSING = """
    import multiprocessing
    import warnings

    import rele

    def work(number):
        rele.publish("events", number)

    if __name__ == "__main__":
        warnings.simplefilter("ignore", DeprecationWarning)
        rele.publish("events", 0)
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(number,)) for number in (1, 2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
"""


@BOTH
def test_neither_parent_nor_children_lose_anything(
    project: Project, events: Callable[[], set[int]]
) -> None:
    script = project.write("publish.py", PUBLISH_AND_FORK)

    status, output = project.run(str(script))

    assert status == 0, output
    delays = [float(line.split()[-2]) for line in output.splitlines() if "published" in line]
    assert len(delays) == 3
    assert max(delays) < 1
    assert events() == {*range(500), 1000, 1001, 2000, 2001, 3000, 3001}


@BOTH
def test_children_of_multiprocessing_send_what_they_published(
    project: Project, events: Callable[[], set[int]]
) -> None:
    script = project.write("publish.py", PUBLISH_IN_MULTIPROCESSING)

    status, output = project.run(str(script))

    assert (status, output) == (0, "")
    assert events() == {0, 1, 2}


FORK_IN_AN_OUTAGE = """
    import os
    import sys
    import time
    import warnings

    import rele
    from tests.support.servers import free_port

    warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads
    os.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{free_port()}"
    lost = rele.publish("events", 0)
    rele.publish("events", 0, blocking=True, timeout=2.5, raise_exception=False)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(0)
    print(f"forked in {time.monotonic() - began:.3f} s", flush=True)
    assert os.waitpid(child, 0) == (child, 0)
    assert not lost.done()
    os._exit(0)
"""


@pytest.mark.parametrize("engine", ["rele"], indirect=True)
def test_a_fork_does_not_wait_for_a_server_that_cannot_be_reached(project: Project) -> None:
    script = project.write("publish.py", FORK_IN_AN_OUTAGE)

    status, output = project.run(str(script))

    assert status == 0, output
    assert "fork_posix" not in output
    [line] = [line for line in output.splitlines() if line.startswith("forked in")]
    assert float(line.split()[-2]) < 0.5
