"""Writing what a process reports, and deleting what is old."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import timezone as timezones
from typing import Any

from django.conf import settings
from django.db import router, transaction
from django.db.models import F
from django.utils import timezone

from rele.contrib.admin.models import Failure, Minute, Process
from rele.contrib.admin.tally import Count, Failed, Key, Unwritten
from rele.status.encoding import to_json
from rele.status.snapshot import Snapshot

KEPT_MINUTES = 180
"""How long the minutes are kept, of which the page shows the last hour."""

KEPT_PROCESSES = timedelta(hours=1)
"""How long a process is kept that reports no more."""

KEPT_FAILURES = timedelta(days=7)
MOST_FAILURES = 1_000
"""How long failures are kept, and how many."""


def write(snapshot: Snapshot, unwritten: Unwritten) -> None:
    """Write what a process reports, all of it or nothing.

    Raises:
        django.db.Error: the database cannot be used.
    """
    with transaction.atomic(using=router.db_for_write(Process)):
        _put(
            Process,
            {"name": snapshot.process},
            {"seen_at": timezone.now(), "snapshot": to_json(snapshot)},
        )
        for key in sorted(unwritten.minutes):
            _write_minute(run_of(snapshot), key, unwritten.minutes[key])
        # In the order of their keys, so that two processes never wait for each other.
        for failed in sorted(unwritten.failures, key=lambda each: each.raised.fingerprint):
            _write_failure(failed)


def run_of(snapshot: Snapshot) -> str:
    """The name of a process and the time when it began: a container's are all called alike."""
    return f"{snapshot.process}@{snapshot.started_at:.0f}"


def forget(process: str) -> None:
    """Delete a process that has ended.

    Raises:
        django.db.Error: the database cannot be used.
    """
    Process.objects.filter(name=process).delete()


def purge(now: datetime) -> None:
    """Delete what is older than the page needs.

    Args:
        now: as the tables have times.

    Raises:
        django.db.Error: the database cannot be used.
    """
    oldest = int(now.timestamp() // 60) - KEPT_MINUTES
    Minute.objects.filter(minute__lt=oldest).delete()
    Process.objects.filter(seen_at__lt=now - KEPT_PROCESSES).delete()
    Failure.objects.filter(last_seen__lt=now - KEPT_FAILURES).delete()
    newest = Failure.objects.order_by("-last_seen").values_list("last_seen", flat=True)
    for last_of_the_kept in newest[MOST_FAILURES - 1 : MOST_FAILURES]:
        Failure.objects.filter(last_seen__lt=last_of_the_kept).delete()


def _write_minute(run: str, key: Key, count: Count) -> None:
    subscription, minute = key
    _put(
        Minute,
        {"minute": minute, "subscription": subscription, "run": run},
        {
            "handled": count.handled,
            "failed": count.failed,
            "durations": {str(step): number for step, number in count.durations.items()},
        },
    )


def _write_failure(failed: Failed) -> None:
    raised = failed.raised
    latest = {"text": raised.text, "place": raised.place, "last_seen": _moment(failed.last_seen)}
    if failed.traceback:
        latest["traceback"] = failed.traceback
    row, is_new = Failure.objects.get_or_create(
        fingerprint=raised.fingerprint,
        defaults={
            "subscription": failed.subscription,
            "kind": raised.kind,
            "count": failed.count,
            "first_seen": _moment(failed.first_seen),
            **latest,
        },
    )
    if not is_new:
        Failure.objects.filter(pk=row.pk).update(count=F("count") + failed.count, **latest)


def _put(model: Any, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Write a row that this process alone writes."""
    if not model.objects.filter(**key).update(**values):
        model.objects.create(**key, **values)


def _moment(seconds: float) -> datetime:
    moment = datetime.fromtimestamp(seconds, timezones.utc)
    return moment if settings.USE_TZ else timezone.make_naive(moment)
