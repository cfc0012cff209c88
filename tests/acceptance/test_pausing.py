"""Pausing a subscription and setting its threads, for workers that run: real processes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.support.ledger import WRITE, Ledger
from tests.support.polling import wait_until
from tests.support.project import Project, read_until

SUBS = (
    WRITE
    + """
    from rele import sub

    @sub(topic="jobs", threads=2)
    def work(data, **kwargs):
        write(f"end {data}")
"""
)

SETTINGS = """
    RELE = {{"GC_PROJECT_ID": {project!r}, "MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"]}}
    INSTALLED_APPS = [
        "django.contrib.auth", "django.contrib.contenttypes", "rele", "rele.contrib.admin", "shop",
    ]
    DATABASES = {{
        "default": {{
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "db.sqlite3",
            "OPTIONS": {{"timeout": 20}},
        }}
    }}
    SECRET_KEY = "x"
    USE_TZ = True
"""


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.write("settings.py", SETTINGS.format(project=project.project_id))
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    assert manage(project, "migrate", "-v0") == ""
    return project


def manage(project: Project, *arguments: str) -> str:
    """What a command says."""
    status, output = project.run("-m", "django", *arguments)
    assert status == 0, output
    return output


def start(project: Project, *options: str) -> subprocess.Popen[str]:
    process = project.start("-m", "django", "runrele", *options)
    read_until(process.stdout, "Pulling messages")
    return process


def query(project: Project, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(project.folder / "db.sqlite3", timeout=20)) as database, database:
        return database.execute(statement).fetchall()


def statuses(project: Project) -> list[dict[str, Any]]:
    """What the worker processes report about their only subscription."""
    rows = query(project, "SELECT snapshot FROM rele_admin_process")
    return [each for (text,) in rows for each in json.loads(text)["subscriptions"]]


def wait_for(project: Project, processes: int, **expected: Any) -> None:
    """Until as many processes report what is expected."""

    def is_so() -> bool:
        found = statuses(project)
        return len(found) == processes and all(
            each[name] == value for each in found for name, value in expected.items()
        )

    wait_until(is_so, 30, lambda: statuses(project))


def handled(project: Project) -> int:
    return len(Ledger(project.folder).lines("end"))


def test_all_workers_pause_and_resume_and_stay_paused_after_a_restart(
    shop: Project, publish: Callable[[range], None]
) -> None:
    workers = start(shop, "--processes", "2")
    publish(range(3))
    wait_until(lambda: handled(shop) == 3, 30)

    said = manage(shop, "rele", "pause", "jobs")
    wait_for(shop, 2, is_paused=True, streams=0)

    assert said == "Workers pause jobs within 5 s.\n"
    publish(range(3, 6))
    workers.terminate()
    workers.communicate(timeout=60)
    assert statuses(shop) == [], "who has ended reports no more"
    workers = start(shop)
    wait_for(shop, 1, is_paused=True, streams=0)
    assert handled(shop) == 3

    # As `rele resume` and `rele threads` do, in less time.
    query(shop, "UPDATE rele_admin_subscription SET is_paused = 0, threads = 5")
    wait_until(lambda: handled(shop) == 6, 30)
    wait_for(shop, 1, is_paused=False, threads=5)


def test_a_worker_works_on_while_the_database_is_unavailable(
    shop: Project, publish: Callable[[range], None]
) -> None:
    worker = start(shop)
    wait_for(shop, 1, is_paused=False, streams=1)
    database, away = (shop.folder / name for name in ("db.sqlite3", "away"))
    database.rename(away)
    database.mkdir()  # SQLite cannot open a folder

    publish(range(3))
    wait_until(lambda: handled(shop) == 3, 30)
    read_until(worker.stdout, "cannot report to the page in the admin, and works on without")

    database.rmdir()
    away.rename(database)
    query(shop, "INSERT INTO rele_admin_subscription VALUES ('jobs', 1, NULL, '2026-01-01', 'ana')")
    wait_for(shop, 1, is_paused=True, received=3)
    assert query(shop, "SELECT SUM(handled), SUM(failed) FROM rele_admin_minute") == [(3, 0)]


def test_run_once_leaves_what_waits_in_a_paused_subscription(shop: Project) -> None:
    once = ("rele", "run-once", "jobs", "--wait", "1")
    manage(shop, *once)
    manage(shop, "rele", "pause", "jobs")
    manage(shop, "rele", "publish", "jobs", "1")

    assert "Handled 0 message(s) of jobs." in manage(shop, *once)

    manage(shop, "rele", "resume", "jobs")
    assert "Handled 1 message(s) of jobs." in manage(shop, *once)
