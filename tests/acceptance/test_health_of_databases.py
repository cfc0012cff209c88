"""A worker whose databases end: it is live, and not ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgres
from tests.support.probes import probes_of
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
    worker = shop.start("-m", "django", "runrele", "--relay", "--health-port", "127.0.0.1:0")
    probes = probes_of(worker)
    probes.wait_for("/readyz", 200)

    server.stop()
    probes.wait_for("/readyz", 503, "\ndatabase default: It cannot be used: ")
    probes.wait_for("/readyz", 503, "\noutbox: The outbox in the database 'default' is unavailable")
    assert probes.live == 200

    server.start()
    probes.wait_for("/readyz", 200)
    worker.terminate()
    assert worker.wait(30) == 0
