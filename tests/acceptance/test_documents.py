"""The README and the documents, followed to the letter: their code, in order, in one project.

Each block of Python says in the paragraph before it which file it goes into, and is appended there,
as a reader would paste it.
"""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.polling import wait_until
from tests.support.project import Project, read_until
from tests.support.readme import (
    FIRST_STEPS,
    README,
    REPOSITORY,
    blocks_of,
    commands,
    commands_of,
    files_of,
)

GOOGLE_CLOUD, OPERATIONS, PUBLISHING, TRANSACTIONS = (
    (REPOSITORY / "docs" / f"{name}.rst").read_text(encoding="utf-8")
    for name in ("google-cloud", "operations", "publishing", "transactions")
)
ALL = {
    "README": README,
    "publishing": PUBLISHING,
    "google-cloud": GOOGLE_CLOUD,
    "transactions": TRANSACTIONS,
}

OPTIONS = ("TIMEOUT", "LIMITS", "RETRY_FOR", "COMPRESSION")
"""The settings of the publisher that the page on publishing shows in use."""

PUBLISH = """
import asyncio

from django.test import Client

from orders import events

events.order_paid(1)
print("accepted:", events.order_paid_and_accepted(2))
print("accepted:", asyncio.run(events.order_paid_in_a_task(3)))
print("answered:", Client(HTTP_HOST="localhost").get("/admin/login/").status_code)
"""


@pytest.fixture
def shop(project: Project) -> Project:
    """The project of the README's first steps, in which nothing has been written yet."""
    (project.folder / "settings.py").unlink()
    del project.environment["PYTHONPATH"]
    project.environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    for command in commands(FIRST_STEPS)[:2]:
        assert succeeds(project, command)
    return project


def paste(shop: Project, document: str) -> None:
    for name, code in files_of(document):
        path = shop.folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(code)


def start(shop: Project, command: str) -> subprocess.Popen[str]:
    """Start a command of a document, on the server of the test."""
    command = re.sub(r"PUBSUB_EMULATOR_HOST=\S+ ", "", command)
    return shop.start("-c", f"exec {command}", python="sh")


def succeeds(shop: Project, command: str) -> bool:
    return run(shop, command)[0] == 0


def run(shop: Project, command: str) -> tuple[int, str]:
    """Run a command of a document to its end: its exit status and its output."""
    process = start(shop, command)
    output, _ = process.communicate(timeout=60)
    print(output)
    return process.returncode, output


def rows(shop: Project, query: str) -> list[Any]:
    with closing(sqlite3.connect(shop.folder / "db.sqlite3")) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("text", [*ALL.values(), OPERATIONS], ids=[*ALL, "operations"])
def test_each_block_of_python_says_which_file_it_goes_into(text: str) -> None:
    assert len(blocks_of(text)) == text.count("\n.. code::")
    assert len(files_of(text)) == text.count(".. code:: python")


def test_each_document_adds_to_the_settings_of_those_before(shop: Project) -> None:
    for document in (*ALL.values(), OPERATIONS):
        paste(shop, document)

    _, keys = run(shop, "python -c 'import shop.settings; print(*shop.settings.RELE)'")
    checked, report = run(shop, "python manage.py check")

    of_readme = {"GC_PROJECT_ID", "MIDDLEWARE", "ENCODER_PATH"}
    of_publishing = {f"PUBLISHER_{name}" for name in OPTIONS}
    of_google_cloud = {"GC_CREDENTIALS_PATH", "CLIENT_OPTIONS", "GC_STORAGE_REGION"}
    of_operations = {"HANDLER_LIMIT", "REDACT"}
    assert set(keys.split()) == {
        *of_readme,
        *of_publishing,
        *of_google_cloud,
        "PUBLISHER_BACKEND",
        *of_operations,
    }
    middleware = "from shop.settings import RELE; print(*RELE['MIDDLEWARE'])"
    _, names = run(shop, f"python -c {shlex.quote(middleware)}")
    assert [name.rpartition(".")[2] for name in names.split()] == [
        "OpenTelemetryMiddleware",
        "LoggingMiddleware",
        "DjangoDBMiddleware",
        "CountFailures",
        "PrometheusMiddleware",
    ]
    assert (checked, report) == (0, "System check identified no issues (0 silenced).\n")


def test_all_documents_make_one_project_that_runs(shop: Project) -> None:
    for document in ALL.values():
        paste(shop, document)
    make_migrations, migrate, worker, relay, rolled_back, committed, *upkeep = commands_of(
        TRANSACTIONS
    )
    assert succeeds(shop, make_migrations)
    assert succeeds(shop, migrate)
    consumer = start(shop, worker)
    read_until(consumer.stdout, "Pulling messages")
    relaying = start(shop, relay)
    read_until(relaying.stdout, "Relaying the outbox")

    assert not succeeds(shop, rolled_back)
    assert succeeds(shop, committed)

    read_until(consumer.stdout, "order-paid: message ")
    assert rows(shop, "SELECT country FROM orders_order") == [("ES",)]
    assert rows(shop, "SELECT order_id FROM orders_shipment") == [(1,)]
    assert rows(shop, "SELECT subscription FROM rele_inbox_inboxmessage") == [("order-paid",)]
    wait_until(lambda: rows(shop, "SELECT id FROM rele_outbox_outboxmessage") == [], 10)
    assert all(succeeds(shop, command) for command in upkeep)
    for process in (consumer, relaying):
        process.terminate()
        assert process.wait(timeout=20) == 0
    [run_tests] = commands("Test")
    assert succeeds(shop, run_tests)


def test_what_the_page_on_publishing_shows_publishes(shop: Project) -> None:
    for document in (README, PUBLISHING):
        paste(shop, document)
    consumer = start(shop, "python manage.py runrele")
    read_until(consumer.stdout, "Pulling messages")

    published, output = run(shop, f"python manage.py shell -c {shlex.quote(PUBLISH)}")

    assert published == 0
    assert output.count("accepted: ") == 2
    assert "answered: 200" in output
    assert "has not accepted" not in output
    handled = ""
    while {*re.findall(r"Shipping order (\d) to ES", handled)} != {"1", "2", "3"}:
        handled += read_until(consumer.stdout, "Shipping order")  # a line may have two of them
    consumer.terminate()
    assert consumer.wait(timeout=20) == 0
