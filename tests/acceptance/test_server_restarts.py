"""A worker whose server is killed, emptied, or loses a subscription or a topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from google.cloud import pubsub_v1

from rele.engine.times import Times
from tests.support.project import Project, publish_jobs
from tests.support.server_process import Server
from tests.support.watched import start_watched, write_project

pytestmark = pytest.mark.both_engines(slow="google")

Publish = Callable[[range], None]

MADE_AGAIN = "had been deleted and was created again"


@pytest.fixture
def server(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the project's own, which the test starts."""
    server = Server()
    project.environment["PUBSUB_EMULATOR_HOST"] = server.address
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
    yield server
    server.kill()


@pytest.fixture
def publish(project: Project, server: Server) -> Publish:
    """Publish jobs of these numbers."""

    def publish(numbers: range) -> None:
        publish_jobs(project, numbers)

    return publish


@pytest.mark.parametrize(
    "rounds", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(400)])]
)
def test_a_server_that_is_killed_and_comes_back_with_its_data_loses_nothing(
    project: Project, server: Server, publish: Publish, rounds: int
) -> None:
    server.data_dir = project.folder / "data"
    server.start()
    write_project(project)
    worker = start_watched(project)
    soon = 8.0  # Google's client alone opens five streams in vain at once, and then waits for 10 s
    for number in range(0, rounds * 100, 100):
        publish(range(number, number + 100))
        worker.wait_for(f"begin {number}", seconds=soon)
        began = time.monotonic()
        server.kill()
        server.start()
        # The pauses between attempts grow with the outage, which is long on a busy machine.
        soon = max(8.0, 4 * (time.monotonic() - began))

    accepted = range(rounds * 100)
    worker.wait_for_jobs(accepted, seconds=soon)
    worker.stop()
    assert worker.check(accepted, again=accepted) == [], "again where the server lost an ack"
    assert not any("Traceback" in line or "deleted" in line for line in worker.log())


def test_on_a_server_that_returns_empty_everything_is_recreated(
    project: Project, server: Server, publish: Publish
) -> None:
    server.start()
    write_project(project)
    worker = start_watched(project)

    server.kill()
    server.start()
    worker.wait_for("Relé created subscription", count=2)
    publish(range(5))

    worker.wait_for_jobs(range(5))
    worker.stop()
    assert worker.check(range(5)) == []
    errors = [line for line in worker.log() if line.startswith("ERROR")]
    assert len(errors) == 1
    assert MADE_AGAIN in errors[0]
    assert not any("Traceback" in line for line in worker.log())


def test_a_subscription_that_is_deleted_is_recreated_and_logged_once(
    project: Project, server: Server, publish: Publish
) -> None:
    server.start()
    write_project(project)
    worker = start_watched(project)

    path = f"projects/{project.project_id}/subscriptions/jobs"
    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.delete_subscription(request={"subscription": path})
    worker.wait_for("Relé created subscription", count=2)
    publish(range(5))

    worker.wait_for_jobs(range(5))
    worker.stop()
    assert worker.check(range(5)) == []
    assert [MADE_AGAIN in line for line in worker.log()].count(True) == 1


def test_a_topic_that_is_deleted_is_logged_once_a_minute_with_what_repairs_it(
    project: Project, server: Server, publish: Publish
) -> None:
    server.start()
    write_project(project)
    worker = start_watched(project, Times(topics_every=0.5))
    topic = f"projects/{project.project_id}/topics/jobs"
    path = f"projects/{project.project_id}/subscriptions/jobs"

    with pubsub_v1.PublisherClient() as publisher:
        publisher.delete_topic(request={"topic": topic})
    worker.wait_for(f"Delete the subscription (gcloud pubsub subscriptions delete {path})", count=2)
    # What the line says is done, and it helps.
    with pubsub_v1.SubscriberClient() as subscriber:
        subscriber.delete_subscription(request={"subscription": path})
    worker.wait_for("Relé created subscription", count=2)
    publish(range(5))

    worker.wait_for_jobs(range(5))
    worker.stop()
    assert worker.check(range(5)) == []
    said = [line for line in worker.log() if "The topic jobs was deleted" in line]
    assert all(line.startswith("ERROR") for line in said)


def test_where_resources_are_not_to_be_read_topics_are_not_watched(
    project: Project, server: Server, publish: Publish
) -> None:
    server.start()
    write_project(project)
    start_watched(project).stop()
    write_project(project, RESOURCES="ignore")
    worker = start_watched(project, Times(topics_every=0.1))

    with pubsub_v1.PublisherClient() as publisher:
        publisher.delete_topic(request={"topic": f"projects/{project.project_id}/topics/jobs"})
        publisher.create_topic(request={"name": f"projects/{project.project_id}/topics/jobs"})
    publish(range(5))

    assert worker.stop() < 2
    assert worker.log() == []
