"""Child processes that end right after their last publish: what they published is sent."""

from __future__ import annotations

import re
import sys
import urllib.request
from collections.abc import Callable

import pytest

from tests.support.project import Project, read_until

if sys.platform == "win32":
    pytest.skip("Windows does not fork.", allow_module_level=True)

pytestmark = pytest.mark.both_engines(slow="google")

POOL = """
    import multiprocessing
    import sys
    import warnings

    import rele

    def work(number):
        for part in range(3):
            rele.publish("events", number * 10 + part)

    def work_many(number):
        rele.publish_many("events", [number * 10 + part for part in range(3)])

    if __name__ == "__main__":
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads
        rele.publish("events", -1)
        function = globals()[sys.argv[2]]
        with multiprocessing.get_context(sys.argv[1]).Pool(4) as pool:
            pool.map(function, range(40), chunksize=1)
"""

CLOSED_POOL = """
    import multiprocessing
    import warnings

    import rele

    def work(number):
        rele.publish("events", number)

    if __name__ == "__main__":
        warnings.simplefilter("ignore", DeprecationWarning)
        rele.publish("events", -1)  # so that the children have all modules
        pool = multiprocessing.get_context("fork").Pool(4, maxtasksperchild=2)
        pool.map(work, range(40), chunksize=1)
        pool.close()
        pool.join()
"""

EXECUTOR = """
    import concurrent.futures
    import multiprocessing
    import sys
    import warnings

    import rele

    def work(number):
        rele.publish("events", number)

    if __name__ == "__main__":
        warnings.simplefilter("ignore", DeprecationWarning)
        rele.publish("events", -1)
        context = multiprocessing.get_context(sys.argv[1])
        with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as executor:
            list(executor.map(work, range(40)))
"""

PROCESS = """
    import multiprocessing
    import sys
    import threading
    import warnings
    from multiprocessing.util import Finalize

    import rele

    def publish_later(event, number):
        event.wait(1)
        rele.publish("events", number)

    def work(number):
        rele.publish("events", number)
        # Before Python 3.13 finalizers run while such threads do; later they wait for the threads.
        event = threading.Event()
        threading.Thread(target=publish_later, args=(event, number + 1)).start()
        Finalize(None, event.set, exitpriority=-1)
        Finalize(None, rele.publish, ("events", number + 2), exitpriority=-1)
        Finalize(None, rele.publish, ("events", number + 3), exitpriority=100)
        if number == 20:
            raise ValueError(number)
        if number == 30:
            sys.exit(3)

    def first_publish_at_the_end(number):
        Finalize(None, rele.publish, ("events", number), exitpriority=0)

    if __name__ == "__main__":
        warnings.simplefilter("ignore", DeprecationWarning)
        context = multiprocessing.get_context(sys.argv[1])
        children = [context.Process(target=work, args=(number,)) for number in (10, 20, 30)]
        children.append(context.Process(target=first_publish_at_the_end, args=(0,)))
        for child in children:
            child.start()
        for child in children:
            child.join()
        print([child.exitcode for child in children])
"""

FORK = """
    import os
    import sys
    import threading
    import warnings

    import rele

    warnings.simplefilter("ignore", DeprecationWarning)
    rele.publish("events", 0)
    for number in range(1, 11):
        pid = os.fork()
        if pid == 0:
            rele.publish("events", number)
            threading.Thread(target=rele.publish, args=("events", 100 + number)).start()
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    os.write(1, b"forked\\n")
"""

APP = """
    import os

    import rele

    def app(environ, start_response):
        rele.publish("events", int(environ["QUERY_STRING"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""

METHODS = ["fork", "spawn", "forkserver"]

NUMBERS = {number * 10 + part for number in range(40) for part in range(3)}


@pytest.fixture
def events(pull_events: Callable[[], list[bytes]]) -> Callable[[], set[int]]:
    """The events that have arrived, which are numbers.

    On Python 3.12 one may have arrived twice: gRPC has begun to send it when it learns that the
    interpreter, which has just begun to shut down, starts no thread for the answer.
    """
    return lambda: {int(payload) for payload in pull_events()}


@pytest.mark.parametrize(
    ("method", "function"),
    [("fork", "work"), ("fork", "work_many"), ("spawn", "work"), ("forkserver", "work_many")],
)
def test_a_pool_that_terminates_its_processes(
    project: Project, events: Callable[[], set[int]], method: str, function: str
) -> None:
    script = project.write("publish.py", POOL)

    assert project.run(str(script), method, function) == (0, "")
    assert events() == {-1, *NUMBERS}


def test_a_pool_whose_processes_end_by_themselves(
    project: Project, events: Callable[[], set[int]]
) -> None:
    script = project.write("publish.py", CLOSED_POOL)

    assert project.run(str(script)) == (0, "")
    assert events() == {-1, *range(40)}


@pytest.mark.parametrize("method", METHODS)
def test_a_process_pool_executor(
    project: Project, events: Callable[[], set[int]], method: str
) -> None:
    script = project.write("publish.py", EXECUTOR)

    assert project.run(str(script), method) == (0, "")
    assert events() == {-1, *range(40)}


@pytest.mark.parametrize("method", METHODS)
def test_processes_that_return_raise_and_exit(
    project: Project, events: Callable[[], set[int]], method: str
) -> None:
    script = project.write("publish.py", PROCESS)

    status, output = project.run(str(script), method)

    assert status == 0, output
    assert output.splitlines()[-1] == "[0, 1, 3, 0]"
    assert events() == {0, *(number + part for number in (10, 20, 30) for part in range(4))}


def test_forked_children_that_exit(project: Project, events: Callable[[], set[int]]) -> None:
    script = project.write("publish.py", FORK)

    assert project.run(str(script)) == (0, "forked\n")
    assert events() == {0, *range(1, 11), *range(101, 111)}


def test_gunicorns_workers_that_restart_after_each_request(
    project: Project, events: Callable[[], set[int]]
) -> None:
    project.write("app.py", APP)
    gunicorn = project.start(
        *("-m", "gunicorn", "app:app", "--bind", "127.0.0.1:0", "--max-requests", "1"),
    )
    said = read_until(gunicorn.stdout, "Listening at")
    [url] = re.findall(r"http://127\.0\.0\.1:\d+", said)
    pids = set()
    for number in range(6):
        with urllib.request.urlopen(f"{url}?{number}", timeout=20) as response:
            pids.add(int(response.read()))
    gunicorn.terminate()
    output, _ = gunicorn.communicate(timeout=20)

    assert gunicorn.returncode == 0, output
    assert len(pids) == 6
    assert events() == set(range(6))
