"""Publishing that a signal interrupts, or that something does in the middle of publishing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.project import Project
from tests.support.publish_outcomes import NOTING
from tests.support.publish_server import PublishServer

OURS = pytest.mark.parametrize("engine", ["rele"])
"""Google's client has locks that are not reentrant, and loses its books if it is interrupted."""

OFTEN = pytest.mark.parametrize(
    "times", [700, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)

SECONDS = 90


@pytest.fixture
def server(project: Project) -> Iterator[PublishServer]:
    with PublishServer() as server:
        project.environment["PUBSUB_EMULATOR_HOST"] = server.address
        yield server


def run(project: Project, program: str, *arguments: object) -> Any:
    """Run ``program`` to its end, and return what it has printed as its last line, from JSON."""
    path = project.write("program.py", program)
    process = project.start("-X", "faulthandler", str(path), *map(str, arguments))
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return json.loads(output.splitlines()[-1])


INTERRUPTED = f"""
    import faulthandler, json, random, signal, sys, threading, time, traceback
    from concurrent.futures import wait
    import rele
    from tests.support import publish_outcomes as outcomes

    blocking, keys, times = sys.argv[1] == "blocking", int(sys.argv[2]), int(sys.argv[3])
    faulthandler.dump_traceback_later({SECONDS} + times // 20, exit=True)

    class SoftTimeLimitExceeded(Exception):
        '''As Celery raises it in a task, wherever the task is.'''

    armed = False

    def interrupt(signum, frame):
        global armed
        if armed:  # another thread may have taken the signal late
            armed = False
            raise SoftTimeLimitExceeded

    def publish(number):
        key = {{"ordering_key": str(number % keys)}} if keys else {{}}
        return rele.publish("events", f"main {{number}}", blocking=blocking, timeout=60, **key)

    def publish_uninterrupted():
        for number in range(3 * times):
            others.append(rele.publish("events", f"other {{number}}"))
            time.sleep(0.0005)

    futures, others, interrupted, in_hooks, number = {{}}, [], 0, 0, 0
    futures[-1] = rele.publish("events", "first", blocking=True, timeout=60)
    other = threading.Thread(target=publish_uninterrupted)
    other.start()
    signal.signal(signal.SIGALRM, interrupt)
    longest = 0.0004 if not blocking else 0.002
    while interrupted < times:
        number += 1
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, longest))
            futures[number] = publish(number)
            armed = False
        except SoftTimeLimitExceeded as error:
            files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
            interrupted += any("/rele/" in file for file in files)
            in_hooks += any(file.endswith("publish_outcomes.py") for file in files)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    other.join()
    flushed = rele.flush(30)
    all_futures = [*futures.values(), *others]
    pending = wait(all_futures, timeout=30).not_done
    for key in range(keys):
        rele.publish("events", f"last {{key}}", blocking=True, timeout=30, ordering_key=str(key))
    print(json.dumps({{
        "flushed": flushed,
        "pending": len(pending),
        "failed futures": sum(f.exception(0) is not None for f in all_futures if f.done()),
        "succeeded": outcomes.succeeded,
        "failed": [data for data, _ in outcomes.failed],
        "in hooks": in_hooks,
        "handed over": [f"main {{n}}" for n in futures if n > 0],
        "others": len(others),
    }}))
"""


@OURS
@OFTEN
@pytest.mark.parametrize(
    ("mode", "keys"),
    [("background", 0), ("background", 3), ("blocking", 0), ("blocking", 3)],
)
def test_an_exception_that_a_signal_raises_in_publish_falsifies_no_outcome(
    project: Project, server: PublishServer, engine: str, mode: str, keys: int, times: int
) -> None:
    project.write_settings(ENGINE=engine, MIDDLEWARE=NOTING)

    report = run(project, INTERRUPTED, mode, keys, times)

    assert (report["pending"], report["failed futures"], report["failed"]) == (0, 0, [])
    assert report["flushed"]
    accepted = Counter(json.loads(data) for data in server.accepted.items)
    assert set(accepted.values()) == {1}
    reported = Counter(report["succeeded"])
    unreported = accepted - reported
    assert reported - accepted == Counter()
    # Where the exception was raised in a hook itself, that hook could not note its message.
    assert sum(unreported.values()) <= report["in hooks"]
    assert set(report["handed over"]) <= set(accepted)
    assert {f"other {number}" for number in range(report["others"])} <= set(accepted)
    for key, data in server.data_by_key().items():
        if key:
            numbers = [int(json.loads(each).split()[1]) for each in data[:-1]]
            assert numbers == sorted(numbers)


IN_A_HANDLER = f"""
    import faulthandler, json, signal, sys, time
    from concurrent.futures import wait
    import rele

    blocking = sys.argv[1] == "blocking"
    faulthandler.dump_traceback_later({SECONDS}, exit=True)
    futures = [rele.publish("events", "first", blocking=True, timeout=30)]

    def publish_too(signum, frame):
        futures.append(rele.publish("events", f"handler {{len(futures)}}", blocking=blocking,
                                    timeout=30))
        if time.monotonic() < ends:
            signal.setitimer(signal.ITIMER_REAL, 0.003)

    signal.signal(signal.SIGALRM, publish_too)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    ends, number = time.monotonic() + 4, 0
    while time.monotonic() < ends:
        number += 1
        futures.append(rele.publish("events", f"main {{number}}", blocking=number % 10 == 0,
                                    timeout=30))
    signal.setitimer(signal.ITIMER_REAL, 0)
    pending = wait(futures, timeout=30).not_done
    failed = sum(future.exception(0) is not None for future in futures if future.done())
    print(json.dumps([len(futures), len(pending), failed]))
"""


@OURS
@pytest.mark.parametrize("mode", ["background", "blocking"])
def test_a_signal_handler_may_publish_in_the_middle_of_a_publish(
    project: Project, server: PublishServer, engine: str, mode: str
) -> None:
    project.write_settings(ENGINE=engine)

    published, pending, failed = run(project, IN_A_HANDLER, mode)

    assert (pending, failed) == (0, 0)
    assert len(server.accepted.items) == published
    assert sum(b"handler" in data for data in server.accepted.items) > 50


IN_A_FINALISER = f"""
    import faulthandler, gc, json, sys, threading
    from concurrent.futures import wait
    import rele

    blocking = sys.argv[1] == "blocking"
    faulthandler.dump_traceback_later({SECONDS}, exit=True)
    futures = [rele.publish("events", "first", blocking=True, timeout=30)]
    threads = set()

    class Garbage:
        def __init__(self):
            self.me = self

        def __del__(self):
            threads.add(threading.current_thread().name)
            futures.append(rele.publish("events", "finaliser", blocking=blocking, timeout=5,
                                        raise_exception=False))

    gc.collect()
    gc.set_threshold(7, 2, 2)  # at any allocation, in any thread
    for number in range(1500):
        Garbage()
        futures.append(rele.publish("events", f"main {{number}}", blocking=number % 10 == 0,
                                    timeout=30))
    gc.set_threshold(700, 10, 10)
    pending = wait(futures, timeout=30).not_done
    failed = [future.exception(0) for future in futures if future.done()]
    print(json.dumps([len(futures), len(pending), sum(each is not None for each in failed),
                      sorted(threads)]))
"""


@OURS
def test_a_finaliser_may_publish_in_the_middle_of_a_publish(
    project: Project, server: PublishServer, engine: str
) -> None:
    project.write_settings(ENGINE=engine)

    published, pending, failed, threads = run(project, IN_A_FINALISER, "background")

    assert (pending, failed) == (0, 0)
    assert len(server.accepted.items) == published
    assert sum(b"finaliser" in data for data in server.accepted.items) > 1000
    assert "MainThread" in threads


@OURS
def test_a_finaliser_may_publish_and_wait_in_the_middle_of_a_publish(
    project: Project, server: PublishServer, engine: str
) -> None:
    """In a thread that sends, it cannot wait; nothing stops there, and the message is sent."""
    project.write_settings(ENGINE=engine)

    published, pending, _, threads = run(project, IN_A_FINALISER, "blocking")

    assert "MainThread" in threads
    assert pending == 0
    assert len(server.accepted.items) == published


IN_A_LOG_HANDLER = f"""
    import faulthandler, json, logging, sys, threading
    import rele

    blocking = sys.argv[1] == "blocking"
    faulthandler.dump_traceback_later({SECONDS}, exit=True)
    futures = []

    class Publishing(logging.Handler):
        '''Publishes each record, under the lock that every handler holds meanwhile.'''

        def emit(self, record):
            futures.append(rele.publish("logs", self.format(record), blocking=blocking,
                                        timeout=20))

    logging.getLogger().addHandler(Publishing())
    logging.getLogger().setLevel(logging.INFO)

    def work():
        for number in range(50):
            futures.append(rele.publish("events", number))
            logging.getLogger("project").info("worked on %d", number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rele.flush(30)
    failed = sum(future.exception(30) is not None for future in futures)
    print(json.dumps([len(futures), failed]))
"""


@OURS
@pytest.mark.parametrize("mode", ["background", "blocking"])
def test_a_log_handler_may_publish_each_record_also_those_about_publishing(
    project: Project, server: PublishServer, engine: str, mode: str
) -> None:
    """The outcome hooks log as well, in the thread that reports, while the handler is locked."""
    project.write_settings(ENGINE=engine, MIDDLEWARE=["rele.contrib.LoggingMiddleware"])

    published, failed = run(project, IN_A_LOG_HANDLER, mode)

    assert failed == 0
    assert len(server.accepted.items) == published
    assert published >= 400
