"""``docs/operations.rst``, from a red /livez to a replayed dead letter: its very commands."""

from __future__ import annotations

import re

import pytest

import rele
from tests.support.containers import Container
from tests.support.dead_letters import QUICK
from tests.support.polling import wait_until
from tests.support.probes import Probes
from tests.support.project import REPOSITORY, Project
from tests.support.servers import free_port

CHAPTER = (REPOSITORY / "docs" / "operations.rst").read_text(encoding="utf-8")

MANAGE = """
    import os, sys
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
"""

SETTINGS = """
    RELE = {{
        "GC_PROJECT_ID": {project!r},
        "MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"],
        "HANDLER_LIMIT": 2,
    }}
    INSTALLED_APPS = [
        "django.contrib.auth", "django.contrib.contenttypes", "rele", "rele.contrib.admin", "shop",
    ]
    DATABASES = {{"default": {{
        "ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "OPTIONS": {{"timeout": 20}},
    }}}}
    SECRET_KEY = "a secret"
    USE_TZ = True
"""

BROKEN = """
    import threading
    from rele import DeadLetterPolicy, sub
    from rele.exceptions import DeadLetter

    @sub(topic="order-paid", dead_letter_policy=DeadLetterPolicy(max_delivery_attempts=100))
    def ship(data, **attributes):
        if data["id"] == 1:
            threading.Event().wait()
        try:
            data["country"]
        except KeyError as error:
            raise DeadLetter("it has no country") from error
"""

CORRECTED = """
    from pathlib import Path
    from rele import DeadLetterPolicy, sub

    @sub(topic="order-paid", dead_letter_policy=DeadLetterPolicy(max_delivery_attempts=100))
    def ship(data, **attributes):
        Path(f"shipped-{data['id']}").touch()
"""


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("manage.py", MANAGE)
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", BROKEN)
    project.write("settings.py", SETTINGS.format(project=project.project_id))
    return project


def commands() -> list[list[str]]:
    """Those of the section, in order."""
    section = re.search(r"^When something is wrong\n-+\n(.*?)^Health\n-+\n", CHAPTER, re.M | re.S)
    assert section is not None
    return [line.split() for line in re.findall(r"^ +\$ (.+)$", section[1], re.MULTILINE)]


def test_the_way_from_a_red_livez_to_a_replayed_dead_letter(
    shop: Project, embedded_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_live, pause, group, resume, ask_ready, replay, show = commands()
    port = free_port()
    machine = Container(shop, {8080: port})
    probes = Probes(f"127.0.0.1:{port}")
    run_worker = ["python", "manage.py", "runrele", "--health-port", "8080"]

    def run(*command: str) -> str:
        status, said = machine.run(command)
        assert status == 0, said
        return said

    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    rele.setup({"GC_PROJECT_ID": shop.project_id, "MIDDLEWARE": []})
    run("python", "manage.py", "migrate", "-v0")
    worker = machine.start(run_worker)
    wait_until(lambda: probes.succeeds("/readyz", 5), 60)
    for number in (2, 1):
        rele.publish("order-paid", {"id": number})
    probes.wait_for("/livez", 503)

    status, said = machine.run(ask_live)
    assert status == 1
    assert "order-paid: A handler has been running for " in said
    run(*pause)
    worker.kill()
    worker.wait()

    assert "KeyError" in run(*group, *QUICK)
    shop.write("shop/subs.py", CORRECTED)
    worker = machine.start(run_worker)
    run(*resume)
    wait_until((shop.folder / "shipped-1").exists, 60)
    assert run(*ask_ready).startswith("ready")
    assert not (shop.folder / "shipped-2").exists()

    run(*replay, "--yes", *QUICK)
    wait_until((shop.folder / "shipped-2").exists, 60)
    assert "KeyError" not in run(*show, *QUICK)
    worker.terminate()
    assert worker.wait(30) == 0
