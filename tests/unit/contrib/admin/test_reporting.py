"""Reporting to the page's tables: what is written, and what an outage does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.db.models import Sum
from django.utils import timezone

from rele.config import Config
from rele.contrib.admin import reporting, writing
from rele.contrib.admin.models import Failure, Minute, Process
from rele.contrib.admin.reading import read_reports
from rele.contrib.admin.reporting import Reporter
from rele.contrib.admin.tally import Tally
from rele.runtime.in_use import IN_USE
from rele.status.encoding import from_json
from tests.support.outbox import ALIAS
from tests.support.polling import wait_until
from tests.support.rele_admin import SUBSCRIPTION, report, snapshot

pytestmark = pytest.mark.usefixtures("project")

SUB = SimpleNamespace(name=SUBSCRIPTION)


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def reporter(tally: Tally) -> Reporter:
    return Reporter(tally, snapshot)


def handle(tally: Tally, times: int = 1, error: Exception | None = None) -> None:
    now = timezone.now().timestamp()
    for _ in range(times):
        if error is None:
            tally.post_process_message_success(SUB, now - 0.1, None)
        else:
            tally.post_process_message_failure(SUB, error, now - 0.1, None)


def totals() -> tuple[int, int]:
    sums = Minute.objects.aggregate(Sum("handled"), Sum("failed"))
    return sums["handled__sum"] or 0, sums["failed__sum"] or 0


def rename(table: str, name: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {name}")


def test_writes_the_snapshot_and_what_was_handled(reporter: Reporter, tally: Tally) -> None:
    handle(tally, 3)
    handle(tally, 2, ValueError("no"))
    reporter.report()
    handle(tally, 4)
    handle(tally, 1, ValueError("no"))
    reporter.report()

    assert totals() == (10, 3)
    [process] = Process.objects.all()
    assert from_json(process.snapshot).subscriptions[0].name == SUBSCRIPTION
    [failure] = Failure.objects.all()
    assert (failure.count, failure.kind, failure.text) == (3, "ValueError", "no")


def test_keeps_no_connection(reporter: Reporter) -> None:
    reporter.report()

    assert connections[ALIAS].connection is None


def test_an_outage_is_logged_once_and_loses_no_count(
    reporter: Reporter, tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rele.contrib.admin")
    reporter.report()
    rename("rele_admin_minute", "away")
    for _ in range(3):
        handle(tally, 2)
        handle(tally, 1, ValueError("no"))
        reporter.report()
    rename("away", "rele_admin_minute")
    reporter.report()

    assert totals() == (9, 3)
    assert Failure.objects.get().count == 3
    [outage, end] = caplog.messages
    assert outage.startswith("This worker cannot report to the page in the admin, and works on")
    assert "run `manage.py migrate`" in outage
    assert end == "This worker reports to the page in the admin again."


def test_a_process_that_ends_writes_what_is_left_and_is_forgotten(
    reporter: Reporter, tally: Tally
) -> None:
    reporter.report()
    handle(tally, 5)
    reporter.end()

    assert totals() == (5, 0)
    assert not Process.objects.exists()


def test_a_process_that_ends_at_once_writes_nothing(reporter: Reporter) -> None:
    with connections[ALIAS].execute_wrapper(_refuse):
        reporter.end()


def _refuse(*args: Any) -> Any:
    raise AssertionError("No query is expected.")


def test_a_container_that_starts_again_under_its_name_overwrites_no_counts() -> None:
    for started_at in (1_000.0, 2_000.0):
        tally = Tally()
        handle(tally, 3)
        from dataclasses import replace

        Reporter(tally, lambda at=started_at: replace(snapshot(), started_at=at)).report()

    assert totals() == (6, 0)
    assert Process.objects.count() == 1


def test_what_is_old_is_deleted(reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_FAILURES", 3)
    now = timezone.now()
    report(snapshot("gone:1"), handled=3)
    Process.objects.update(seen_at=now - timedelta(hours=2))
    Minute.objects.update(minute=int(now.timestamp() // 60) - writing.KEPT_MINUTES - 1)
    for number in range(5):
        moment = now - timedelta(hours=number)
        Failure.objects.create(fingerprint=number, first_seen=moment, last_seen=moment)
    Failure.objects.create(
        fingerprint="old", first_seen=now, last_seen=now - writing.KEPT_FAILURES * 2
    )

    reporter.report()

    assert [process.name for process in Process.objects.all()] == ["web-1:7"]
    assert not Minute.objects.exists()
    assert set(Failure.objects.values_list("fingerprint", flat=True)) == {"0", "1", "2"}


def test_a_worker_reports_by_itself(monkeypatch: pytest.MonkeyPatch, no_middleware: None) -> None:
    monkeypatch.setattr(reporting, "FIRST_AFTER", 0.01)
    try:
        with reporting.reporting(Config({}), interval=0.01):
            [tally] = IN_USE.own_hooks
            handle(tally, 3)
            wait_until(lambda: totals() == (3, 0), 20)
            assert Process.objects.exists()
    finally:
        IN_USE.forget()
    assert not Process.objects.exists(), "it has ended"


def test_the_charts_show_what_was_written(reporter: Reporter, tally: Tally) -> None:
    handle(tally, 3)
    handle(tally, 1, ValueError("no"))
    reporter.report()

    reports = read_reports(timezone.now())

    history = reports.history(SUBSCRIPTION)
    assert (sum(history.handled), sum(history.failed)) == (4, 1)
    assert sum(reports.durations[SUBSCRIPTION].values()) == 4


@pytest.mark.parametrize("clock", [timedelta(minutes=5), timedelta(minutes=-5), timedelta(days=1)])
def test_a_worker_whose_clock_is_wrong_breaks_no_page(
    clock: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    now: Callable[[], float] = lambda: (timezone.now() + clock).timestamp()  # noqa: E731
    tally = Tally(now)
    tally.post_process_message_success(SUB, now() - 1, None)
    Reporter(tally, snapshot).report()

    read_reports(timezone.now())
