"""The page's tables on each kind of database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import environ
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.models import Sum
from django.test.utils import override_settings
from django.utils import timezone

from rele.config import Config
from rele.contrib.admin import controls
from rele.contrib.admin.models import Failure, Minute, Note, Process, Subscription
from rele.contrib.admin.reading import read_details, read_reports
from rele.contrib.admin.reporting import Reporter
from rele.contrib.admin.tally import Tally
from rele.contrib.admin.writing import purge
from rele.status.controls import SubscriptionControl
from tests.support.outbox import ALIAS, filled_in
from tests.support.postgres import running
from tests.support.rele_admin import STATUS, SUBSCRIPTION, report, snapshot

ALIKE = ("A", "a", "a ", "á")
"""What the default collations of MySQL and MariaDB take for equal."""


def installed(url: str, django_db_blocker: Any) -> Iterator[str]:
    """Have the tables on an empty database."""
    with (
        django_db_blocker.unblock(),
        override_settings(DATABASE_ROUTERS=["tests.support.admin_project.Everything"]),
    ):
        connections.settings[ALIAS] = filled_in(environ.Env.db_url_config(url))
        call_command("migrate", "rele_admin", database=ALIAS, verbosity=0)
        for model in (Failure, Minute, Note, Process, Subscription):
            model.objects.all().delete()
        try:
            yield url
        finally:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]


@pytest.fixture(params=["postgres", "mariadb"])
def database(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[str]:
    yield from installed(request.getfixturevalue(f"{request.param}_url"), django_db_blocker)


@pytest.mark.usefixtures("database")
def test_what_several_processes_report_at_the_same_time_is_counted() -> None:
    def report_often(process: str) -> None:
        running = snapshot(process)
        try:
            for _ in range(5):
                report(running, handled=3, failed=2)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=report_often, args=(f"web-{n}:7",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    now = timezone.now()
    reports = read_reports(now)
    assert len(reports.processes) == 4
    assert Failure.objects.get().count == 4 * 5 * 2
    # Whoever reports its minute again replaces what it has reported of it.
    assert sum(reports.history(SUBSCRIPTION).handled) in (12, 24)
    details = read_details(SUBSCRIPTION, now.timestamp())
    assert len(details.rates) == 4
    purge(now)
    assert Process.objects.count() == 4


@pytest.mark.usefixtures("database")
def test_names_that_are_alike_are_told_apart() -> None:
    for name in ALIKE:
        controls.pause(name, "ana")
        report(snapshot(name, replace(STATUS, name=name)), handled=1)
    controls.set_threads("a", 7, "ana")

    assert controls.reader(Config({}))() == {
        name: SubscriptionControl(True, 7 if name == "a" else None) for name in ALIKE
    }
    assert set(read_reports(timezone.now()).histories) == set(ALIKE)


def test_reports_again_after_an_outage_of_the_database(
    django_db_blocker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rele.contrib.admin")
    tally = Tally()
    reporter = Reporter(tally, snapshot)
    with running() as server:
        for _ in installed(server.url, django_db_blocker):
            for is_running in (True, False, False, True):
                server.start() if is_running else server.stop()
                tally.post_process_message_success(STATUS, timezone.now().timestamp() - 0.1, None)
                reporter.report()
                assert connections[ALIAS].connection is None

            assert Minute.objects.aggregate(Sum("handled"))["handled__sum"] == 4
    [outage, end] = caplog.messages
    assert f"Check that the database {ALIAS!r} is running and can be reached." in outage
    assert end == "This worker reports to the page in the admin again."
