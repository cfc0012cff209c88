"""What the templates of the pages get: read, judged and put into words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from rele.contrib.admin import panels
from rele.contrib.admin.exceptions import explained_errors
from rele.contrib.admin.figure_lines import figures_of
from rele.contrib.admin.models import Note, Subscription
from rele.contrib.admin.reading import read_details, read_reports
from rele.contrib.admin.server_state import PATIENCE, ServerState, ServerWatch
from rele.declaration.subscription import Subscription as Declaration
from rele.management.admin import shown
from rele.project.loading import Project
from rele.project.overview import describe, stated_fields

Url = Callable[[str, str], str]
"""The address of a view, for a subscription's name."""

_ENTRIES = 10
"""How many entries of the admin's log are shown."""


def overview(project: Project, watch: ServerWatch, url: Url) -> dict[str, Any]:
    """Of the page of all subscriptions.

    Raises:
        PageError: the tables cannot be used.
    """
    with explained_errors():
        reports = read_reports(timezone.now())
        failures = panels.failures_of(reports.failures, reports.now)
    server = _server_state(project, watch, patience=0)
    drifting = _drifting(project.subscriptions, server)
    return {
        "tiles": panels.tiles_of(reports),
        "complaints": [*map(str, project.problems), *panels.complaints_of(reports)],
        "chart": panels.chart_of_all(reports),
        "lines": [
            {**_with_urls(line, url), "drifts": line.name in drifting}
            for line in panels.lines_of(reports, project.subscriptions)
        ],
        "orphans": server.orphans if server else (),
        "processes": panels.processes_of(reports),
        "failures": failures,
        "figures": figures_of(reports),
    }


def details(project: Project, watch: ServerWatch, url: Url, name: str) -> dict[str, Any] | None:
    """Of the page of one subscription; ``None`` if nobody knows it.

    Raises:
        PageError: the tables cannot be used.
    """
    with explained_errors():
        reports = read_reports(timezone.now())
        more = read_details(name, reports.now)
        failures = panels.failures_of(more.failures, reports.now)
        log = _log(name)
    lines = {each.name: each for each in panels.lines_of(reports, project.subscriptions)}
    if name not in lines:
        return None
    return {
        "line": _with_urls(lines[name], url),
        "tiles": panels.tiles_of_one(lines[name], reports),
        "complaints": panels.complaints_about(name, reports),
        "charts": panels.charts_of_one(name, reports, more),
        "consumers": panels.consumers_of(name, reports, more),
        "failures": failures,
        **_declared_and_had(project, watch, name),
        "log": log,
    }


def is_known(project: Project, name: str) -> bool:
    """Whether a subscription is declared, consumed, or was decided about.

    Raises:
        PageError: the tables cannot be used.
    """
    if any(each.name == name for each in project.subscriptions):
        return True
    with explained_errors():
        lines = panels.lines_of(read_reports(timezone.now()), project.subscriptions)
    return any(line.name == name for line in lines)


def _with_urls(line: panels.Line, url: Url) -> dict[str, Any]:
    views = ("change", "pause", "resume", "threads", "letters")
    return {**vars(line), **{f"{view}_url": url(view, line.name) for view in views}}


def _log(name: str) -> list[dict[str, str]]:
    """What was done about a subscription in the admin and with commands, the latest first."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Subscription), object_id=name
    ).select_related("user")
    notes = Note.objects.filter(subscription=name).order_by("-at", "-id")
    done = [
        *(
            (e.action_time, e.user.get_username(), e.get_change_message())
            for e in entries[:_ENTRIES]
        ),
        *((n.at, f"{n.by} (command line)", n.what) for n in notes[:_ENTRIES]),
    ]
    done.sort(key=lambda each: each[0], reverse=True)
    return [
        {"when": shown(when), "user": user, "what": what} for when, user, what in done[:_ENTRIES]
    ]


def _server_state(project: Project, watch: ServerWatch, patience: float) -> ServerState | None:
    if project.config is None:
        return None
    return watch.latest(project.config, project.subscriptions, patience)


def _drifting(declared: Sequence[Declaration], server: ServerState | None) -> set[str]:
    """The names of the subscriptions that Pub/Sub does not have as they are declared."""
    return {each.name for each in declared if server and server.changes_for(each)}


def _declared_and_had(project: Project, watch: ServerWatch, name: str) -> dict[str, Any]:
    """What the code declares of a subscription, and how Pub/Sub differs from it."""
    declared = next((each for each in project.subscriptions if each.name == name), None)
    if project.config is None or declared is None:
        return {}
    server = _server_state(project, watch, PATIENCE)
    row = describe(declared, project.config)
    return {
        "declared": stated_fields(row),
        "server": server,
        "changes": server.changes_for(declared) if server else [],
        "dead_letter_policy": row["dead_letter_policy"],
    }
