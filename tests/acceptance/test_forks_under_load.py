"""Forks while other threads publish, and during outages."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.support.project import Project

FORK_UNDER_LOAD = """
    import os
    import sys
    import threading
    import time
    import warnings

    import rele

    FORKS = 200
    THREADS = 4

    warnings.simplefilter("ignore", DeprecationWarning)
    is_over = threading.Event()
    futures = [[] for _ in range(THREADS)]

    def publish(thread):
        while not is_over.wait(0.002):
            number = 1_000_000 * (thread + 1) + len(futures[thread])
            futures[thread].append(rele.publish("events", number))

    def publish_and_exit(number):
        rele.publish("events", 2 * number, blocking=True, timeout=10)
        rele.publish("events", 2 * number + 1)
        if number % 20 == 0:
            sys.exit(0)
        os._exit(0 if rele.flush(10) else 1)  # sys.exit() of so large a process takes 0.3 s

    def fork(number):
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            publish_and_exit(number)
        return time.monotonic() - began, os.waitpid(pid, 0)[1]

    rele.publish("events", -1, blocking=True)  # modules that a thread imports are locked in a child
    threads = [threading.Thread(target=publish, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    forks = [fork(number) for number in range(FORKS)]
    is_over.set()
    for thread in threads:
        thread.join()
    assert rele.flush(20)
    assert all(future.exception(0) is None for each in futures for future in each)
    assert {status for _, status in forks} == {0}, forks
    print("The longest fork took", max(seconds for seconds, _ in forks), "s")
    print("The threads published", *(len(each) for each in futures))
"""

FORK_DURING_AN_OUTAGE = """
    import os
    import time
    import warnings

    import rele

    warnings.simplefilter("ignore", DeprecationWarning)
    for number in range(20):
        rele.publish(f"events-{number}", 1)
    # What has not been answered for a second is not waited for.
    rele.publish("events", 1, blocking=True, timeout=1.2, raise_exception=False)
    longest = 0
    for _ in range(20):
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            rele.publish("events", 1)
            os._exit(0)
        longest = max(longest, time.monotonic() - began)
        assert os.waitpid(pid, 0) == (pid, 0)
        rele.publish("events", 1)
    print("The longest fork took", longest, "s")
"""


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.both_engines(slow="google")
def test_200_forks_while_threads_publish(project: Project, events: Callable[[], set[int]]) -> None:
    script = project.write("publish.py", FORK_UNDER_LOAD)

    status, output = project.run(str(script))

    assert status == 0, output
    counts = [int(count) for count in output.splitlines()[-1].split()[3:]]
    longest_fork = float(output.splitlines()[-2].split()[-2])
    assert longest_fork < 1
    by_threads = {
        1_000_000 * thread + number
        for thread, count in enumerate(counts, start=1)
        for number in range(count)
    }
    # Each once: a request that a fork had cut off would have been sent again.
    assert events() == {-1, *range(400), *by_threads}


@pytest.mark.parametrize("engine", ["rele"], indirect=True)
@pytest.mark.parametrize("support", [None, "1"])
@pytest.mark.parametrize("server", ["unreachable", "silent"])
def test_a_fork_during_an_outage_returns_at_once(
    project: Project, server: str, silent_server: str, support: str | None
) -> None:
    if support is not None:
        project.environment["GRPC_ENABLE_FORK_SUPPORT"] = support
    address = {"unreachable": "127.0.0.1:1", "silent": silent_server}[server]
    project.environment["PUBSUB_EMULATOR_HOST"] = address
    project.write_settings(PUBLISHER_TIMEOUT=0.1)
    script = project.write("publish.py", FORK_DURING_AN_OUTAGE)

    status, output = project.run(str(script))

    assert status == 0, output
    [line] = [line for line in output.splitlines() if "longest fork" in line]
    assert float(line.split()[-2]) < 0.5
    assert "41 published message(s) were lost" in output


FORK_WITHOUT_SUPPORT = """
    import os
    import warnings

    import rele

    warnings.simplefilter("ignore", DeprecationWarning)
    rele.publish("events", 0, blocking=True)
    pid = os.fork()
    rele.publish("events", 1, blocking=True)
    if pid:
        print("The child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("engine", ["rele"], indirect=True)
def test_a_child_says_that_grpc_was_told_not_to_support_forks(
    project: Project, events: Callable[[], set[int]]
) -> None:
    project.environment["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    script = project.write("publish.py", FORK_WITHOUT_SUPPORT)

    status, output = project.run(str(script))

    assert status == 0
    assert output.splitlines()[-1] == "The child ended with 1"
    assert "ConfigurationError: A process that is forked from one that has published" in output
    assert events() == {0, 1}
