"""A message that kills its worker, again and again: a segmentation fault, or no memory left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1 import SubscriberClient

from tests.support.ledger import Expected, check_handled, lines_said
from tests.support.project import Project, publish_jobs, read_until

HANDLER = """
    import os, signal, time
    from rele import sub
    from rele.dead_letter_policy import DeadLetterPolicy

    @sub(
        topic="jobs",
        threads={threads},
        dead_letter_policy=DeadLetterPolicy("dead", max_delivery_attempts=5),
    )
    def work(data, **kwargs):
        if data == {poison}:
            os.write(1, b"poison\\n")
            {die}
        time.sleep(0.02)
        os.write(1, f"end {{data}}\\n".encode())
"""

POISON = 7
NUMBERS = range(60)


# After each of the five crashes the leases have to end.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Restarted:
    """A worker that is started again whenever it has died, as a supervisor does."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.deaths = 0
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def run_until(self, is_over: object, seconds: float) -> None:
        assert callable(is_over)
        deadline = time.monotonic() + seconds
        while not is_over(self.lines):
            assert time.monotonic() < deadline, "\n".join(self.lines)
            self.process = self._project.start("-m", "rele", "run")
            assert self.process.stdout is not None
            for line in self.process.stdout:
                self.lines.append(line.rstrip())
                if is_over(self.lines):
                    self.process.terminate()
            if self.process.wait(30) != 0:
                self.deaths += 1

    def handled(self) -> list[int]:
        return [line.number for line in lines_said("\n".join(self.lines)) if line.word == "end"]


@pytest.fixture
def worker(project: Project) -> Restarted:
    return Restarted(project)


@pytest.fixture
def subscriber(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[SubscriberClient]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    with pubsub_v1.SubscriberClient() as subscriber:
        yield subscriber


def dead_letters(project: Project, subscriber: SubscriberClient, number: int) -> list[int]:
    """What lies in the dead-letter topic, once so many do, and a moment later."""
    path = f"projects/{project.project_id}/subscriptions/dead-dead"
    found: dict[str, int] = {}
    deadline = time.monotonic() + 20
    while len(found) < number and time.monotonic() < deadline:
        response = subscriber.pull(
            request={"subscription": path, "max_messages": 1000}, timeout=5, retry=None
        )
        for each in response.received_messages:
            found[each.message.message_id] = int(each.message.data)
    return sorted(found.values())


@pytest.mark.parametrize(
    ("die", "threads"),
    [("os._exit(137)", 2), ("os.kill(os.getpid(), signal.SIGSEGV)", 10)],
    ids=["no memory", "segmentation fault"],
)
def test_only_that_message_is_dead_lettered_and_all_others_are_handled(
    project: Project, worker: Restarted, subscriber: SubscriberClient, die: str, threads: int
) -> None:
    """Pub/Sub counts an attempt for all that is outstanding at each crash."""
    project.write("subs.py", HANDLER.format(threads=threads, poison=POISON, die=die))
    project.write_settings()
    first = project.start("-m", "rele", "run")  # makes the subscription
    read_until(first.stdout, "Pulling messages")
    first.terminate()
    assert first.wait(30) == 0
    subscriber.create_subscription(
        request={
            "name": f"projects/{project.project_id}/subscriptions/dead-dead",
            "topic": f"projects/{project.project_id}/topics/dead",
        }
    )
    publish_jobs(project, NUMBERS)
    good = set(NUMBERS) - {POISON}

    worker.run_until(
        lambda lines: lines.count("poison") >= 5 and set(worker.handled()) >= good, seconds=180
    )

    found = dead_letters(project, subscriber, 1)
    assert found == [POISON]
    assert worker.deaths == 5
    expected = Expected(dead_letters=found, again=good)  # where its ack was not sent at a crash
    assert check_handled(worker.handled(), NUMBERS, expected) == []
    assert set(worker.handled()) == good
