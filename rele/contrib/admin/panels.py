"""What the pages show, in words: made from what was read, without asking anybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from rele.consuming.worker_health import PHASE_REASONS, WORKER
from rele.contrib.admin.charts import Chart, durations_chart, messages_chart, sparkline
from rele.contrib.admin.judging import State, state_of
from rele.contrib.admin.models import Failure
from rele.contrib.admin.reading import Details, Report, Reports, sum_of
from rele.contrib.admin.scale import percentile, together
from rele.contrib.admin.wording import age, duration, number, plural, rate, span
from rele.declaration.subscription import Subscription
from rele.management.admin import shown
from rele.status.snapshot import Backlog, Complaint, Phase, Probe, SubscriptionStatus

_SPARK_MINUTES = 30

_UNKNOWN = "not available"


@dataclass(frozen=True)
class Tile:
    """One figure at the top of a page."""

    name: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Line:
    """One subscription in the list."""

    name: str
    topic: str
    handler: str
    state: State
    decision: str
    """What somebody has decided about it, and who."""
    is_paused: bool
    rate: str
    failed: str
    p50: str
    p95: str
    waiting: str
    oldest: str
    running: str
    processes: str
    chart: Chart


@dataclass(frozen=True)
class ProcessLine:
    """One process in a list."""

    name: str
    phase: str
    tone: str
    seen: str
    since: str
    subscriptions: str
    running: str
    cells: tuple[tuple[str, str], ...] = ()
    """More about it and one subscription, each with the heading of its column."""


@dataclass(frozen=True)
class FailureLine:
    """Errors of one kind in a list."""

    id: str
    subscription: str
    kind: str
    text: str
    place: str
    count: str
    seen: str
    since: str
    traceback: str


def tiles_of(reports: Reports) -> list[Tile]:
    """The figures of the whole project."""
    per_minute, failed = sum_of(reports.histories.values(), reports.first_minute).lately(
        reports.now
    )
    working = [report for report in reports.processes if not report.is_silent]
    statuses = [each for report in working for each in report.snapshot.subscriptions]
    durations = together(reports.durations.values())
    return [
        Tile("messages a minute", rate(per_minute), "in the last 5 min"),
        _failed_tile(per_minute, failed),
        Tile("p95 of a handler", duration(percentile(durations, 0.95)), "in the last 5 min"),
        _waiting_tile(reports, {each.name for each in statuses}),
        Tile(
            "handlers running",
            number(sum(each.running for each in statuses)),
            f"of {number(sum(each.threads for each in statuses))}",
        ),
        Tile("processes", number(len(working)), *_silent_note(reports)),
    ]


def tiles_of_one(line: Line, reports: Reports) -> list[Tile]:
    """The figures of one subscription."""
    per_minute, failed = reports.history(line.name).lately(reports.now)
    return [
        Tile("messages a minute", line.rate, "in the last 5 min"),
        _failed_tile(per_minute, failed),
        Tile("p50 of a handler", line.p50),
        Tile("p95 of a handler", line.p95 or "-"),
        Tile("waiting", line.waiting, line.oldest, "quiet" if line.waiting == _UNKNOWN else ""),
        Tile("handlers running", line.running),
    ]


def lines_of(reports: Reports, declared: Sequence[Subscription]) -> list[Line]:
    """A line for each subscription that is declared, consumed or has been decided about."""
    subs = {each.name: each for each in declared}
    topics = {
        status.name: status.topic
        for report in reports.processes
        for status in report.snapshot.subscriptions
    }
    names = dict.fromkeys(
        [*subs, *topics, *(n for n, d in reports.decisions.items() if d.is_paused)]
    )
    return [
        _line(
            name,
            subs[name].topic if name in subs else topics.get(name, ""),
            subs[name].path if name in subs else "not declared by this code",
            reports,
        )
        for name in sorted(names)
    ]


def processes_of(reports: Reports) -> list[ProcessLine]:
    """A line for each process."""
    return [_process_line(report, reports.now) for report in reports.processes]


def consumers_of(name: str, reports: Reports, details: Details) -> list[ProcessLine]:
    """A line for each process that consumes one subscription."""
    return [
        _process_line(report, reports.now, _cells(report, status, details, reports.now))
        for report, status in reports.consumers(name)
    ]


def failures_of(failures: Sequence[Failure], now: float) -> list[FailureLine]:
    """A line for each kind of errors."""
    return [
        FailureLine(
            failure.fingerprint[:12],
            failure.subscription,
            failure.kind,
            failure.text,
            failure.place,
            number(failure.count),
            age(max(now - failure.last_seen.timestamp(), 0)),
            shown(failure.first_seen),
            failure.traceback,
        )
        for failure in failures
    ]


def complaints_of(reports: Reports) -> list[str]:
    """What is wrong now, each sentence once. To start or to stop is nothing wrong."""
    said = [
        _in_process(report, complaint)
        for report in reports.processes
        if not report.is_silent
        for complaint in report.snapshot.complaints
        if complaint.reason not in PHASE_REASONS.values()
    ]
    silent = [
        f"{report.snapshot.process} has not reported for {span(report.age)}: it was killed, or it "
        "cannot reach the database."
        for report in reports.processes
        if report.is_silent
    ]
    return list(dict.fromkeys([*said, *silent]))


def _in_process(report: Report, complaint: Complaint) -> str:
    """The complaint, with the process that it is about, such as the one to be restarted."""
    if complaint.subject == WORKER:
        return f"{report.snapshot.process}: {complaint.reason}"
    if complaint.probe is Probe.LIVE:
        return f"{report.snapshot.process}: {complaint}"
    return str(complaint)


def complaints_about(name: str, reports: Reports) -> list[str]:
    """What is wrong with one subscription, each sentence once."""
    return list(dict.fromkeys(each.reason for each in _complaints_about(name, reports)))


def charts_of_one(name: str, reports: Reports, details: Details) -> dict[str, Chart]:
    """The charts of one subscription."""
    medians, slowest = (
        [percentile(each, share) for each in details.durations] for share in (0.5, 0.95)
    )
    return {
        "messages": messages_chart(reports.history(name), time_of),
        "durations": durations_chart(reports.first_minute, medians, slowest, time_of),
    }


def chart_of_all(reports: Reports) -> Chart:
    """The messages of all subscriptions."""
    return messages_chart(sum_of(reports.histories.values(), reports.first_minute), time_of)


def time_of(minute: int) -> str:
    """A minute since the epoch as a time of the day."""
    zone = timezone.get_current_timezone() if settings.USE_TZ else None
    return f"{datetime.fromtimestamp(minute * 60, zone):%H:%M}"


def _line(name: str, topic: str, handler: str, reports: Reports) -> Line:
    consumers = list(reports.consumers(name))
    statuses = [status for _, status in consumers]
    decision = reports.decisions.get(name)
    history = reports.history(name)
    per_minute, failed = history.lately(reports.now)
    durations = reports.durations.get(name, {})
    backlog = _backlog(statuses)
    return Line(
        name,
        topic,
        handler,
        state_of(
            statuses,
            [report.snapshot.phase for report, _ in consumers],
            _complaints_about(name, reports),
            is_to_pause=bool(decision and decision.is_paused),
            was_handled=any(history.handled),
        ),
        _decision_in_words(decision, reports.now),
        bool(decision and decision.is_paused),
        rate(per_minute),
        f"{failed / per_minute:.0%}" if failed else "",
        duration(percentile(durations, 0.5)),
        duration(percentile(durations, 0.95)) if durations else "",
        *_waiting(backlog),
        _running(statuses),
        plural(len(consumers), "process"),
        sparkline(history, _SPARK_MINUTES),
    )


def _running(statuses: Sequence[SubscriptionStatus]) -> str:
    """How many handlers run, of how many."""
    if not statuses:
        return "-"
    return (
        f"{number(sum(s.running for s in statuses))} of {number(sum(s.threads for s in statuses))}"
    )


def _backlog(statuses: Sequence[SubscriptionStatus]) -> Backlog | None:
    return next((each.backlog for each in statuses if each.backlog is not None), None)


def _waiting(backlog: Backlog | None) -> tuple[str, str]:
    """How many messages wait, and since when."""
    if backlog is None:
        return _UNKNOWN, ""
    oldest = backlog.oldest_seconds
    has_age = oldest is not None and backlog.messages > 0
    return number(backlog.messages), f"oldest {span(oldest or 0.0)}" if has_age else ""


def _complaints_about(name: str, reports: Reports) -> list[Complaint]:
    return [
        complaint
        for report in reports.processes
        if not report.is_silent
        for complaint in report.snapshot.complaints
        if complaint.subject == name
    ]


def _decision_in_words(decision: Any, now: float) -> str:
    if decision is None or not (decision.is_paused or decision.threads):
        return ""
    threads = f"{plural(decision.threads, 'thread')} a process; " if decision.threads else ""
    when = age(max(now - decision.changed_at.timestamp(), 0))
    return f"{threads}last changed by {decision.changed_by}, {when}"


def _failed_tile(per_minute: float, failed: float) -> Tile:
    share = f"{failed / per_minute:.1%} of them" if failed else ""
    return Tile("failed a minute", rate(failed), share, "error" if failed else "")


def _waiting_tile(reports: Reports, names: set[str]) -> Tile:
    backlogs = [
        _backlog([status for _, status in reports.consumers(name)]) for name in sorted(names)
    ]
    known = [each for each in backlogs if each is not None]
    if not known:
        return Tile("waiting", _UNKNOWN, "no worker knows it", "quiet")
    ages = [each.oldest_seconds for each in known if each.messages and each.oldest_seconds]
    notes = [f"oldest {span(max(ages))}"] if ages else []
    if len(known) < len(backlogs):
        notes.append(f"in {len(known)} of {plural(len(backlogs), 'subscription')}")
    return Tile("waiting", number(sum(each.messages for each in known)), ", ".join(notes))


def _silent_note(reports: Reports) -> tuple[str, str]:
    silent = sum(report.is_silent for report in reports.processes)
    return (f"{number(silent)} silent", "error") if silent else ("", "")


def _process_line(
    report: Report, now: float, cells: tuple[tuple[str, str], ...] = ()
) -> ProcessLine:
    snapshot = report.snapshot
    state, tone = _state_of_process(report)
    return ProcessLine(
        snapshot.process,
        state,
        tone,
        age(report.age),
        span(max(now - snapshot.started_at, 0)),
        number(len(snapshot.subscriptions)),
        number(sum(each.running for each in snapshot.subscriptions)),
        cells,
    )


def _state_of_process(report: Report) -> tuple[str, str]:
    """What the process is doing, or how its probes answer, and the tone."""
    phase = report.snapshot.phase
    probes = {
        complaint.probe
        for complaint in report.snapshot.complaints
        if complaint.reason not in PHASE_REASONS.values()
    }
    if report.is_silent:
        return "silent", "error"
    if probes:
        return ("not live" if Probe.LIVE in probes else "not ready"), "error"
    return phase.value if phase else "-", "good" if phase is Phase.CONSUMING else "quiet"


def _cells(
    report: Report, status: SubscriptionStatus, details: Details, now: float
) -> tuple[tuple[str, str], ...]:
    history = details.history_of(report)
    return (
        ("A minute", rate(history.lately(now)[0]) if history else "0"),
        ("Running", f"{number(status.running)} of {number(status.threads)}"),
        ("Outstanding", f"{number(status.outstanding)} of {number(status.limit)}"),
        ("Streams", number(status.streams)),
        ("Redelivered", number(status.redelivered)),
        ("Leases lost", number(status.leases_lost)),
    )
