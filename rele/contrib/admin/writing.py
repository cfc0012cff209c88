"""Writing what a process reports, and deleting what is old."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from datetime import timezone as timezones
from typing import Any

from django.conf import settings
from django.db import IntegrityError, router, transaction
from django.db.models import F
from django.utils import timezone

from rele.contrib.admin.models import Failure, Minute, Note, Process
from rele.contrib.admin.tally import Count, Failed, Key
from rele.status.encoding import to_json
from rele.status.snapshot import Snapshot

KEPT_MINUTES = 180
"""How long the minutes are kept, of which the page shows the last hour."""

KEPT_PROCESSES = timedelta(hours=1)
"""How long a process is kept that reports no more."""

KEPT_NOTES = timedelta(days=365)
"""How long it is kept what was done with commands."""

KEPT_FAILURES = timedelta(days=7)
MOST_FAILURES = 1_000
"""How long failures are kept, and how many."""


def write(snapshot: Snapshot, minutes: Mapping[Key, Count]) -> None:
    """Write what a process is doing and what it has handled, all of it or nothing.

    Raises:
        django.db.Error: the database cannot be used.
    """
    with transaction.atomic(using=router.db_for_write(Process)):
        _put(
            Process,
            {"name": snapshot.process},
            {"seen_at": timezone.now(), "snapshot": to_json(snapshot)},
        )
        for key in sorted(minutes):
            _write_minute(run_of(snapshot), key, minutes[key])


def write_failure(failed: Failed) -> None:
    """Add errors of one kind to those that are counted already.

    This is a transaction of its own: where two processes insert the same row, the one whose insert
    fails would keep a lock that MySQL and MariaDB then find in a deadlock.

    Raises:
        django.db.Error: the database cannot be used.
    """
    if _add_to_known(failed):
        return
    try:
        with transaction.atomic(using=router.db_for_write(Failure)):
            Failure.objects.create(
                fingerprint=failed.raised.fingerprint,
                subscription=failed.subscription,
                kind=failed.raised.kind,
                count=failed.count,
                first_seen=_moment(failed.first_seen),
                **_latest(failed),
            )
    except IntegrityError:  # another process was faster
        _add_to_known(failed)


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
    Note.objects.filter(at__lt=now - KEPT_NOTES).delete()
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


def _add_to_known(failed: Failed) -> bool:
    """Count ``failed`` where such errors are known; return whether they are."""
    rows = Failure.objects.filter(fingerprint=failed.raised.fingerprint)
    return bool(rows.update(count=F("count") + failed.count, **_latest(failed)))


def _latest(failed: Failed) -> dict[str, Any]:
    return {
        "text": failed.raised.text,
        "place": failed.raised.place,
        "last_seen": _moment(failed.last_seen),
        "traceback": failed.traceback,
    }


def _put(model: Any, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Write a row that this process alone writes."""
    if not model.objects.filter(**key).update(**values):
        model.objects.create(**key, **values)


def _moment(seconds: float) -> datetime:
    moment = datetime.fromtimestamp(seconds, timezones.utc)
    return moment if settings.USE_TZ else timezone.make_naive(moment)
