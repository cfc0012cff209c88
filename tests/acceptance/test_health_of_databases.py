"""A worker and a relay whose databases end: they are live, and not ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgres
from tests.support.polling import wait_until
from tests.support.probes import Probes, probes_of
from tests.support.project import Project

SETTINGS = """
    SECRET_KEY = "a secret"
    INSTALLED_APPS = ["rele", "rele.contrib.outbox", "shop"]
    DATABASES = {{"default": {{
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": {port},
    }}}}
    USE_TZ = True
"""

SUBS = """
    from rele import sub

    @sub(topic="jobs")
    def work(data, **kwargs):
        pass
"""


@pytest.fixture
def server() -> Iterator[postgres.PostgreSQL]:
    """One that this test may stop."""
    with postgres.running() as server:
        yield server


@pytest.fixture
def shop(project: Project, server: postgres.PostgreSQL) -> Project:
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.write_settings(
        MIDDLEWARE=["rele.contrib.DjangoDBMiddleware"],
        PUBLISHER_BACKEND="rele.contrib.outbox.OutboxBackend",
    )
    port = server.url.rpartition(":")[2].partition("/")[0]
    extra = project.write("more_settings.py", SETTINGS.format(port=port))
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(extra.read_text())
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    status, said = project.run("-m", "django", "migrate")
    assert status == 0, said
    return project


def test_an_outage_of_the_database_turns_readyz_red_and_never_livez(
    shop: Project, server: postgres.PostgreSQL
) -> None:
    health_port = ("--health-port", "127.0.0.1:0")
    worker = shop.start("-m", "django", "runrele", "--relay", *health_port)
    relay = shop.start("-m", "django", "rele", "relay", *health_port)
    of_worker, of_relay = both = [probes_of(worker), probes_of(relay)]
    for probes in both:
        probes.wait_for("/readyz", 200)
    wait_until(lambda: figures(of_relay).get("rele_outbox_shards", 0) > 0, 30)
    wait_until(lambda: "rele_outbox_lag_seconds" in figures(of_relay), 30)
    assert of_relay.status()["processes"][0]["phase"] == "sending"

    server.stop()
    of_worker.wait_for("/readyz", 503, "\ndatabase default: It cannot be used: ")
    for probes in both:
        probes.wait_for(
            "/readyz", 503, "\noutbox: The outbox in the database 'default' is unavailable"
        )
        assert probes.live == 200

    server.start()
    for probes in both:
        probes.wait_for("/readyz", 200)
    for process in (worker, relay):
        process.terminate()
        assert process.wait(30) == 0


def figures(probes: Probes) -> dict[str, float]:
    [process] = probes.status()["processes"]
    return {each["name"]: each["value"] for each in process["figures"]}
