"""What goes on in processes that fork, and in one that ends amid a call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_a_forked_child_publishes_by_a_publisher_of_its_own() -> None:
    script = """
import os, sys
import rele, rele.backends
from concurrent.futures import Future

class Backend(rele.backends.BaseBackend):
    def __init__(self, config):
        self.process_id = os.getpid()
    def send(self, messages):
        assert self.process_id == os.getpid()
        future = Future()
        future.set_result("message")
        return [future]

rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": "__main__.Backend"})
rele.publish("photos", 1)
child = os.fork()
rele.publish("photos", 2)
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
"""

    completed = subprocess.run(
        [sys.executable, "-W", "ignore::FutureWarning", "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (completed.returncode, completed.stderr) == (0, "")


FORK_WHILE_CALLS_ARE_UNDER_WAY = """
import os, sys, threading, warnings
from rele.engine.google.forking import gate

warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads
in_call = [0]
ends = threading.Event()

@gate.guard
def call():
    in_call[0] += 1
    in_call[0] -= 1

def work():
    while not ends.is_set():
        call()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        call()
        os._exit(0 if gate._under_way == 0 and in_call[0] == 0 else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
ends.set()
for thread in threads:
    thread.join(10)
    assert not thread.is_alive()
"""


def test_no_fork_happens_in_the_middle_of_a_call() -> None:
    completed = subprocess.run(
        [sys.executable, "-c", FORK_WHILE_CALLS_ARE_UNDER_WAY],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (completed.returncode, completed.stderr) == (0, "")


EXIT_AMID_A_CALL = """
import threading
from rele.resources.parallel_calls import Calls

has_begun = threading.Event()

def never_answer(item):
    has_begun.set()
    threading.Event().wait()

threading.Thread(target=Calls().run, args=[never_answer, [1]], daemon=True).start()
assert has_begun.wait(10)
"""


def test_a_call_that_is_not_answered_holds_up_no_process_that_ends() -> None:
    completed = subprocess.run([sys.executable, "-c", EXIT_AMID_A_CALL], timeout=30)

    assert completed.returncode == 0
