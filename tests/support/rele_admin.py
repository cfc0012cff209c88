"""A project with the page in its admin, and what its workers have reported."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.utils import timezone

from rele.contrib.admin.failing import Raised
from rele.contrib.admin.tally import Count, Failed
from rele.contrib.admin.writing import write, write_failure
from rele.status.snapshot import Backlog, Phase, Snapshot, SubscriptionStatus
from tests.support import admin_project
from tests.support.admin_project import PROJECT, installed
from tests.support.outbox import ALIAS, filled_in

SUBSCRIPTION = "gallery-photo-uploaded"
"""One that the project declares."""

PAGE = "/admin/rele_admin/subscription/"

SETTINGS: dict[str, Any] = {
    "INSTALLED_APPS": [
        *PROJECT["INSTALLED_APPS"],
        "testproject.gallery",
        "testproject.activity",
    ],
    "RELE": {
        **PROJECT["RELE"],
        "GC_PROJECT_ID": "rele-test",
        "SUB_PREFIX": "gallery",
    },
}

ERROR = Raised("f" * 64, "ValueError", "order 7 has no price", "shop.subs.charge:41")

STARTED = time.time() - 120
"""When all processes have begun."""

STATUS = SubscriptionStatus(
    SUBSCRIPTION, "photo-uploaded", 4, streams=1, running=3, outstanding=20, limit=100, idle_for=2.0
)


def file(path: Path) -> dict[str, Any]:
    return filled_in(
        {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": {"timeout": 20}}
    )


@contextmanager
def project(path: Path, django_db_blocker: Any) -> Iterator[None]:
    """The project on a copy of the database at ``path``, which is migrated the first time."""
    if not path.exists():
        with installed({ALIAS: file(path)}, django_db_blocker, **SETTINGS):
            admin_project.migrate()
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    with installed({ALIAS: file(copy)}, django_db_blocker, **SETTINGS):
        yield


def snapshot(process: str = "web-1:7", *statuses: SubscriptionStatus, **more: Any) -> Snapshot:
    """Of a worker that consumes."""
    now = timezone.now().timestamp()
    known = {"phase": Phase.CONSUMING, "subscriptions": statuses or (STATUS,), **more}
    return Snapshot(process, now, STARTED, **known)


def report(*snapshots: Snapshot, handled: int = 0, failed: int = 0, text: str = ERROR.text) -> None:
    """Write what workers report, each with that many messages in this minute."""
    now = timezone.now().timestamp()
    for each in snapshots:
        name = each.subscriptions[0].name
        counts = {(name, int(now // 60)): Count(handled, failed, {30: handled})} if handled else {}
        raised = replace(ERROR, text=text)
        write(each, counts)
        if failed:
            write_failure(Failed(name, raised, f"Traceback of {text}", failed, now - 60, now))


def with_backlog(status: SubscriptionStatus, messages: int, oldest: float) -> SubscriptionStatus:
    return replace(status, backlog=Backlog(messages, oldest))
