"""Workers and commands that look at topics and subscriptions: real processes."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.cloud import pubsub_v1

from rele.resources import create_topic
from tests.support.project import Project, read_until

StartWorker = Callable[[], "subprocess.Popen[str]"]

SUBS = """
    from rele import sub
    from rele.retry_policy import RetryPolicy

    @sub(topic="jobs", labels={"team": "shop"}, retry_policy=RetryPolicy(1, 2))
    def work(data, **attributes):
        print(f"worked on {data}", flush=True)
"""


class Owner:
    """Somebody else, who makes and deletes what the project's worker may not."""

    def __init__(self, project_id: str) -> None:
        self._project = f"projects/{project_id}"
        self._publisher = pubsub_v1.PublisherClient()
        self._subscriber = pubsub_v1.SubscriberClient()
        self.topic = f"{self._project}/topics/jobs"
        self.subscription = f"{self._project}/subscriptions/jobs"

    def make_topic(self) -> None:
        create_topic(self._publisher, self.topic, None)

    def make_subscription(self, **fields: Any) -> None:
        self._subscriber.create_subscription(
            request={"name": self.subscription, "topic": self.topic, **fields}
        )

    def delete_subscription(self) -> None:
        self._subscriber.delete_subscription(request={"subscription": self.subscription})

    def publish(self, data: bytes) -> None:
        self._publisher.publish(self.topic, data).result(10)

    def sees_subscription(self) -> bool:
        try:
            self._subscriber.get_subscription(request={"subscription": self.subscription})
        except NotFound:
            return False
        return True

    def close(self) -> None:
        self._publisher.stop()
        self._publisher.transport.close()
        self._subscriber.close()


@pytest.fixture
def owner(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    project.write("subs.py", SUBS)
    owner = Owner(project.project_id)
    yield owner
    owner.close()


def test_verify_refuses_to_start_with_the_list_of_differences(
    project: Project, owner: Owner
) -> None:
    project.write_settings(RESOURCES="verify")
    owner.make_topic()
    owner.make_subscription(enable_message_ordering=True)
    project.write(
        "more/subs.py",
        """
        from rele import sub

        @sub(topic="jobs", suffix="mail")
        def mail(data, **attributes): ...

        @sub(topic="jobs", suffix="in-order", enable_message_ordering=True)
        def note(data, **attributes): ...
        """,
    )

    status, output = project.run("-m", "rele", "run")

    assert status == 1
    path = re.escape(owner.subscription)
    assert re.search(
        "Error: Pub/Sub does not have what is declared, and Relé changes nothing under "
        "RELE\\['RESOURCES'\\] = "
        f"'verify':\n  create subscription {path}-mail\n  create subscription {path}-in-order\n"
        f"  update subscription {path}: retry_policy none → 1 s to 2 s, labels none → team=shop\n"
        "Make these changes by a worker with 'apply', or in a Django project by `manage.py "
        "showsubscriptions --apply`, or ask whoever owns the resources.\n$",
        output,
    )
    assert "Traceback" not in output


def test_verify_makes_nothing_again_and_goes_on_when_its_owner_does(
    project: Project, owner: Owner, start_worker: StartWorker
) -> None:
    assert project.run("-c", APPLY)[0] == 0
    project.write_settings(RESOURCES="verify")
    worker = start_worker()
    owner.publish(b"1")
    read_until(worker.stdout, "worked on 1")

    owner.delete_subscription()
    said = read_until(worker.stdout, "whoever owns it must create it again")
    assert f"{owner.subscription} was deleted" in said
    assert not owner.sees_subscription()

    owner.make_subscription()
    owner.publish(b"2")
    read_until(worker.stdout, "worked on 2")


APPLY = """
import rele.project.comparison, settings, subs
from rele.config import Config
rele.project.comparison.bring_about(Config(settings.RELE), [subs.work], print)
"""


def test_ignore_asks_for_nothing_but_messages_and_consumes_once_they_can_be_had(
    project: Project, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    project.write_settings(RESOURCES="ignore")
    owner.make_topic()
    with caplog.at_level(logging.DEBUG, "rele.emulator"):
        caplog.clear()
        worker = project.start("-m", "rele", "run")
        read_until(worker.stdout, "The stream of jobs is interrupted")
        calls = {record.getMessage().split(":")[0] for record in caplog.records}

    assert calls == {"StreamingPull"}
    assert not owner.sees_subscription()
    owner.make_subscription()
    owner.publish(b"1")
    read_until(worker.stdout, "worked on 1")


class TestShowsubscriptions:
    @pytest.fixture
    def manage(self, project: Project, owner: Owner) -> Callable[..., tuple[int, str]]:
        project.write("shop/__init__.py", "")
        project.write("shop/subs.py", SUBS)
        project.write(
            "settings.py",
            f"""
            INSTALLED_APPS = ["rele", "shop"]
            SECRET_KEY = "secret"
            RELE = {{
                "GC_PROJECT_ID": {project.project_id!r}, "MIDDLEWARE": [], "RESOURCES": "verify",
            }}
            """,
        )
        project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
        where = f"Using the Pub/Sub project {project.project_id} at "

        def manage(*options: str) -> tuple[int, str]:
            """Its exit status, and what it says after the line that names the project."""
            status, output = project.run("-m", "django", "showsubscriptions", *options)
            first, _, rest = output.partition("\n")
            assert first.startswith(where)
            return status, rest

        return manage

    def test_shows_the_plan_and_carries_it_out(
        self, manage: Callable[..., tuple[int, str]], owner: Owner
    ) -> None:
        plan = [f"create topic {owner.topic}", f"create subscription {owner.subscription}"]

        assert manage("--diff") == (1, "\n".join(plan) + "\n")
        assert manage("--apply") == (0, "".join(f"Done: {step}\n" for step in plan))
        assert manage("--diff") == (0, "Pub/Sub has everything as it is declared.\n")

    def test_what_cannot_be_changed_remains(
        self, manage: Callable[..., tuple[int, str]], owner: Owner, project: Project
    ) -> None:
        manage("--apply")
        project.write(
            "shop/subs.py", SUBS.replace("labels=", 'backend_filter_by="attributes:id", labels=')
        )
        obstacle = (
            f"cannot change subscription {owner.subscription}: backend_filter_by none → "
            "attributes:id\n    This is fixed when a subscription is created: delete the "
            "subscription once it is drained, and Relé recreates it, or declare another suffix.\n"
        )

        assert manage("--apply") == (1, obstacle)
        assert manage("--diff") == (1, obstacle)
