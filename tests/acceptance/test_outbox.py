"""The outbox with real processes: an application, a relay and a worker."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.processors import seconds_to_end
from tests.support.project import Project, read_until, signal_until_it_ends

SETTINGS = """
    SECRET_KEY = "for tests"
    USE_TZ = True
    INSTALLED_APPS = ["rele", "rele.contrib.outbox", "shop"]
    DATABASES = {{"default": {database!r}}}
    RELE = {{
        "GC_PROJECT_ID": {project_id!r},
        "MIDDLEWARE": ["rele.contrib.LoggingMiddleware", "rele.contrib.DjangoDBMiddleware"],
        "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
    }}
    LOGGING = {{
        "version": 1,
        "handlers": {{"console": {{"class": "logging.StreamHandler"}}}},
        "loggers": {{"rele": {{"handlers": ["console"], "level": "INFO"}}}},
    }}
"""

SUBS = """
    import os

    from rele import sub

    @sub(topic="orders")
    def handle(data, **attributes):
        os.write(1, f"handled {data}\\n".encode())
"""

APPLICATION = """
    import django
    from django.db import transaction

    django.setup()
    import rele

    with transaction.atomic():
        rele.publish("orders", "rolled back")
        transaction.set_rollback(True)
    with transaction.atomic():
        rele.publish("orders", "committed")
    rele.publish("orders", "alone")
"""

TESTS = """
    import rele
    from django.db import transaction
    from django.test import TestCase
    from rele.backends import locmem
    from rele.contrib.outbox.models import OutboxMessage


    class OutboxTest(TestCase):
        def test_the_outbox_of_the_test_needs_no_relay(self):
            with self.captureOnCommitCallbacks(execute=True) as callbacks:
                with transaction.atomic():
                    rele.publish("orders", {"id": 1}, blocking=True, timeout=60)
                transaction.on_commit(lambda: rele.publish("orders", {"id": 2}))

            self.assertEqual(OutboxMessage.objects.count(), 2)
            self.assertGreaterEqual(len(callbacks), 1)

        def test_each_test_has_an_empty_outbox(self):
            self.assertEqual(OutboxMessage.objects.count(), 0)

        def test_the_locmem_backend_works(self):
            rele_settings = {"PUBLISHER_BACKEND": "rele.backends.locmem.LocMemBackend"}
            with self.settings(RELE=rele_settings):
                with self.captureOnCommitCallbacks(execute=True):
                    transaction.on_commit(lambda: rele.publish("orders", {"id": 3}))

            self.assertEqual([message.json() for message in locmem.messages], [{"id": 3}])
            self.assertEqual(OutboxMessage.objects.count(), 0)
"""

Start = Callable[..., subprocess.Popen[str]]


def sqlite(folder: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / "shop.sqlite3"),
        "OPTIONS": {"timeout": 20},
    }


def postgres(url: str, name: str) -> dict[str, Any]:
    """An empty database of the test's own on the server."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        info = connection.info
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": info.user,
            "HOST": info.host,
            "PORT": info.port,
        }


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, project: Project, tmp_path: Path) -> Project:
    """A Django project with the outbox on a database that is migrated."""
    if request.param == "sqlite":
        database = sqlite(tmp_path)
    else:
        database = postgres(request.getfixturevalue("postgres_url"), project.project_id)
    return write_shop(project, database)


@pytest.fixture
def shop_on_sqlite(project: Project, tmp_path: Path) -> Project:
    return write_shop(project, sqlite(tmp_path))


def write_shop(project: Project, database: dict[str, Any]) -> Project:
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    project.write("shop/tests.py", TESTS)
    project.write("publish.py", APPLICATION)
    project.write("settings.py", SETTINGS.format(database=database, project_id=project.project_id))
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    assert manage(project, "migrate", "--verbosity", "0") == (0, "")
    return project


def manage(project: Project, *arguments: str) -> tuple[int, str]:
    return project.run("-m", "django", *arguments)


def start_relay(project: Project) -> subprocess.Popen[str]:
    relay = project.start("-m", "django", "rele", "relay")
    read_until(relay.stdout, "Relaying the outbox")
    return relay


def start_worker(project: Project, *options: str) -> subprocess.Popen[str]:
    worker = project.start("-m", "django", "runrele", *options)
    read_until(worker.stdout, "Pulling messages")
    return worker


def publish(project: Project) -> None:
    status, output = project.run("publish.py")
    assert status == 0, output


def end(process: subprocess.Popen[str], seconds: float) -> str:
    """Tell it to stop; it exits with status 0 in time. What it has written since."""
    took = seconds_to_end(process, signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0, output
    assert took < seconds
    return output


@pytest.mark.both_engines(slow="google")
def test_what_commits_is_handled_and_what_is_rolled_back_is_not(shop: Project) -> None:
    worker = start_worker(shop)
    relay = start_relay(shop)

    publish(shop)

    handled = read_until(worker.stdout, "handled ") + read_until(worker.stdout, "handled ")
    assert "No relay is running" not in manage(shop, "rele", "outbox")[1]
    end(relay, 2)
    handled += end(worker, 10)
    assert sorted(line for line in handled.splitlines() if line.startswith("handled ")) == [
        "handled alone",
        "handled committed",
    ]
    status, output = manage(shop, "rele", "outbox")
    assert (status, output.splitlines()[0]) == (0, "The outbox is empty.")
    assert "No relay is running" in output


@pytest.mark.both_engines(slow="google")
def test_once_sends_all_and_ends(shop: Project) -> None:
    worker = start_worker(shop)
    publish(shop)

    assert manage(shop, "rele", "relay", "--once")[0] == 0

    read_until(worker.stdout, "handled ")
    read_until(worker.stdout, "handled ")
    assert manage(shop, "rele", "outbox")[1].startswith("The outbox is empty.")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("relay", "--once"), True),
        (("relay", "--once", "-v", "0"), False),
        pytest.param(("-v", "0", "relay", "--once"), False, marks=pytest.mark.slow),
    ],
)
def test_where_nothing_is_configured_a_relay_logs_each_message_with_a_timestamp(
    shop_on_sqlite: Project, arguments: tuple[str, ...], shown: bool
) -> None:
    settings = shop_on_sqlite.folder / "settings.py"
    settings.write_text(settings.read_text() + "\nLOGGING = {}\n")
    worker = start_worker(shop_on_sqlite)  # creates the topic
    publish(shop_on_sqlite)

    output = manage(shop_on_sqlite, "rele", *arguments)[1]

    lines = re.findall(
        r"^20\d\d-\S+ \S+ INFO rele\.contrib\.logging_middleware: Published to orders$",
        output,
        re.MULTILINE,
    )
    assert len(lines) == (2 if shown else 0), output
    assert "2 message(s) sent." in output
    end(worker, 10)


@pytest.mark.both_engines(slow="google")
def test_a_worker_can_relay_too(shop: Project) -> None:
    worker = start_worker(shop, "--relay")

    publish(shop)

    read_until(worker.stdout, "handled ")
    read_until(worker.stdout, "handled ")
    end(worker, 10)
    assert "No relay is running" in manage(shop, "rele", "outbox")[1]


@pytest.mark.parametrize(
    "shop", ["postgres", pytest.param("sqlite", marks=pytest.mark.slow)], indirect=True
)
def test_of_several_worker_processes_one_relays_and_so_does_its_replacement(shop: Project) -> None:
    """On SQLite there can be only one relay."""
    workers = start_worker(shop, "--relay", "--processes", "2", "--max-messages", "1")
    said = ""
    for _ in range(20):  # the server decides which of the workers gets a message
        was_replaced = "Replacing worker 1" in said
        publish(shop)
        said += read_until(workers.stdout, "handled ")
        said += read_until(workers.stdout, "handled ")
        if was_replaced:
            break
    relays: list[str] = []
    while not relays:  # the last replacement may be starting; the test's time limit is the limit
        relays = json.loads(manage(shop, "rele", "outbox", "--format", "json")[1])["relays"]

    said += end(workers, 15)

    assert "Replacing worker 1" in said
    assert len(relays) == 1
    assert "ERROR" not in said
    assert "No relay is running" in manage(shop, "rele", "outbox")[1]


@pytest.mark.both_engines(slow="google")
@pytest.mark.parametrize("shop", ["postgres"], indirect=True)
def test_a_relay_stops_at_once_while_pubsub_is_unavailable_and_loses_nothing(shop: Project) -> None:
    server = shop.environment["PUBSUB_EMULATOR_HOST"]
    publish(shop)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        shop.environment["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{silent.getsockname()[1]}"
        relay = start_relay(shop)
        connection, _ = silent.accept()  # it tries, in vain
        with connection:
            end(relay, 2)

    shop.environment["PUBSUB_EMULATOR_HOST"] = server
    worker = start_worker(shop, "--relay")
    read_until(worker.stdout, "handled ")
    read_until(worker.stdout, "handled ")


def test_a_second_relay_on_sqlite_says_why_it_does_not_start(shop_on_sqlite: Project) -> None:
    relay = start_relay(shop_on_sqlite)

    status, output = manage(shop_on_sqlite, "rele", "relay")

    assert status == 1
    assert "on SQLite there can only be one" in output.splitlines()[-1]
    assert f":{relay.pid} is running" in output
    assert "Traceback" not in output
    end(relay, 2)
    publish(shop_on_sqlite)
    end(start_relay(shop_on_sqlite), 2)


def test_after_kill_9_a_new_relay_on_sqlite_starts_at_once(shop_on_sqlite: Project) -> None:
    killed = start_relay(shop_on_sqlite)
    killed.kill()
    killed.wait(10)

    relay = start_relay(shop_on_sqlite)

    status, output = manage(shop_on_sqlite, "rele", "outbox")
    assert status == 0, output
    assert f":{relay.pid}" in output
    assert f":{killed.pid}" not in output
    end(relay, 2)


def suspend_and_execute(relay: subprocess.Popen[str], database: Path, statement: str) -> None:
    """Suspend the relay while it is not just writing, and execute the statement then."""
    for _ in range(20):
        relay.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(database, timeout=1)) as connection, connection:
            try:
                connection.execute(statement)
            except sqlite3.OperationalError:  # the relay has locked the database
                relay.send_signal(signal.SIGCONT)
                connection.execute("PRAGMA busy_timeout = 20000")
                connection.execute("BEGIN IMMEDIATE")  # waits until it has not
            else:
                return
    raise AssertionError("The relay writes all the time.")


def test_a_relay_on_sqlite_that_is_suspended_for_long_is_still_the_only_one(
    shop_on_sqlite: Project, tmp_path: Path
) -> None:
    relay = start_relay(shop_on_sqlite)
    suspend_and_execute(
        relay,
        tmp_path / "shop.sqlite3",
        "UPDATE rele_outbox_relay SET seen_at = '2020-01-01 00:00:00'",
    )

    status, output = manage(shop_on_sqlite, "rele", "relay", "--once")

    relay.send_signal(signal.SIGCONT)
    assert status == 1
    assert f":{relay.pid} is running" in output
    end(relay, 2)


def test_a_hangup_drains_a_relay(shop_on_sqlite: Project) -> None:
    relay = start_relay(shop_on_sqlite)

    relay.send_signal(signal.SIGHUP)

    assert relay.wait(20) == 0
    assert "No relay is running" in manage(shop_on_sqlite, "rele", "outbox")[1]


@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_signals_until_a_relay_has_ended_do_not_change_its_status(
    shop_on_sqlite: Project, signum: int
) -> None:
    relay = start_relay(shop_on_sqlite)

    signal_until_it_ends(relay, signum)

    assert relay.returncode == 0


IGNORE_HANGUP = """
    import os, signal, sys

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.execv(sys.executable, [sys.executable, "-m", "django", "rele", "relay"])
"""


def test_a_relay_under_nohup_outlives_the_terminal(shop_on_sqlite: Project) -> None:
    make_topics(shop_on_sqlite)
    shop_on_sqlite.write("nohup.py", IGNORE_HANGUP)
    relay = shop_on_sqlite.start("nohup.py")
    read_until(relay.stdout, "Relaying the outbox")

    relay.send_signal(signal.SIGHUP)

    publish(shop_on_sqlite)
    wait_until_sent(shop_on_sqlite)
    end(relay, 10)


def make_topics(project: Project) -> None:
    status, output = manage(project, "showsubscriptions", "--apply")
    assert status == 0, output


def wait_until_sent(project: Project) -> None:
    """Return when no row of the outbox is left."""
    deadline = time.monotonic() + 60
    path = project.folder / "shop.sqlite3"
    with closing(sqlite3.connect(path, timeout=20)) as connection:
        while connection.execute("SELECT count(*) FROM rele_outbox_outboxmessage").fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # the database notifies nobody


def broken_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full_disk() -> int:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    return os.open("/dev/full", os.O_WRONLY)


@contextmanager
def into(project: Project, output: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of the project whose standard output is ``output``, buffered."""
    environment = {**project.environment}
    environment.pop("PYTHONUNBUFFERED")
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "rele", *arguments],
        cwd=project.folder,
        env=environment,
        stdout=output,
        stderr=subprocess.PIPE,
    )
    os.close(output)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "make_output", [broken_pipe, pytest.param(full_disk, marks=pytest.mark.slow)]
)
def test_what_cannot_be_printed_stops_no_relay(
    shop_on_sqlite: Project, make_output: Callable[[], int]
) -> None:
    make_topics(shop_on_sqlite)
    publish(shop_on_sqlite)
    with into(shop_on_sqlite, make_output(), "relay") as relay:
        wait_until_sent(shop_on_sqlite)
        publish(shop_on_sqlite)
        wait_until_sent(shop_on_sqlite)
        relay.terminate()
        assert relay.wait(20) == 0

    publish(shop_on_sqlite)
    with into(shop_on_sqlite, make_output(), "relay", "--once") as relay:
        assert relay.wait(60) == 0
    wait_until_sent(shop_on_sqlite)


@pytest.mark.parametrize(
    "options", [[], pytest.param(["--format", "json"], marks=pytest.mark.slow)]
)
def test_what_is_in_the_outbox_is_to_be_printed(
    shop_on_sqlite: Project, options: list[str]
) -> None:
    with into(shop_on_sqlite, full_disk(), "outbox", *options) as outbox:
        _, errors = outbox.communicate(timeout=60)

    assert outbox.returncode == 1
    assert b"The output could not be written" in errors.splitlines()[-1]


def test_a_test_case_of_a_project_works_without_a_relay(shop: Project) -> None:
    status, output = manage(shop, "test", "shop")

    assert status == 0, output
    assert "Ran 3 tests" in output


def test_a_relay_that_waits_for_its_database_ends_at_sigterm(
    project: Project, tmp_path: Path
) -> None:
    """As it does where packets are dropped: the connection is made, and nothing ever answered."""
    shop = write_shop(project, sqlite(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "shop",
            "HOST": "127.0.0.1",
            "PORT": silent.getsockname()[1],
        }
        settings = SETTINGS.format(database=database, project_id=shop.project_id)
        shop.write("settings.py", settings)
        relay = shop.start("-m", "django", "rele", "relay")
        read_until(relay.stdout, "Waiting for the database")

        relay.terminate()

        read_until(relay.stdout, "The relay was stopped before it had started.")
        assert relay.wait(20) == 0
