"""Reading what workers have reported, and what has been decided, for the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import QuerySet, Sum

from rele.contrib.admin.models import Failure, Minute, Process, Subscription
from rele.contrib.admin.scale import Durations, together
from rele.contrib.admin.writing import run_of
from rele.status.encoding import from_json
from rele.status.snapshot import Phase, Snapshot, SubscriptionStatus

MINUTES = 60
"""How many minutes the charts show, with the one that has begun."""

LATELY = 5
"""How many minutes the rates and percentiles are about, with the one that has begun."""

SILENT_AFTER = 30.0
"""Seconds after which a process that does not report no longer counts."""

SHOWN_FAILURES = 20


@dataclass(frozen=True)
class Report:
    """What one process last reported."""

    snapshot: Snapshot
    age: float
    """Seconds since then."""

    @property
    def is_silent(self) -> bool:
        return self.age > SILENT_AFTER

    @property
    def has_ended(self) -> bool:
        """Whether it was stopping when it reported last.

        One that abandons its handlers, or is killed while it drains, cannot report its end.
        """
        return self.is_silent and self.snapshot.phase in (Phase.DRAINING, Phase.ENDED)


@dataclass(frozen=True)
class History:
    """What was handled in the last minutes, the one that has begun last."""

    first: int
    """The first minute, since the epoch."""
    handled: Sequence[int] = (0,) * MINUTES
    """Messages, with the failed ones, of each minute."""
    failed: Sequence[int] = (0,) * MINUTES

    def lately(self, now: float) -> tuple[float, float]:
        """Messages a minute in the last minutes, and the failed ones among them."""
        minutes = LATELY - 1 + (now % 60) / 60
        return sum(self.handled[-LATELY:]) / minutes, sum(self.failed[-LATELY:]) / minutes


def sum_of(histories: Iterable[History], first: int) -> History:
    """The history of all of them together."""
    each = [History(first), *histories]
    return History(
        first,
        [*map(sum, zip(*(one.handled for one in each), strict=True))],
        [*map(sum, zip(*(one.failed for one in each), strict=True))],
    )


@dataclass(frozen=True)
class Reports:
    """What the tables have, at one moment."""

    now: float
    """Seconds since the epoch."""
    processes: Sequence[Report]
    """Those that report first."""
    decisions: Mapping[str, Subscription]
    """By the subscription's name."""
    histories: Mapping[str, History]
    """By the subscription's name."""
    durations: Mapping[str, Durations]
    """Of the last minutes, by the subscription's name."""
    failures: Sequence[Failure] = field(default_factory=tuple)
    """The latest first."""

    @property
    def first_minute(self) -> int:
        return first_minute(self.now)

    def consumers(self, subscription: str) -> Iterator[tuple[Report, SubscriptionStatus]]:
        """The processes that consume a subscription now."""
        for report in self.processes:
            for status in report.snapshot.subscriptions:
                if status.name == subscription and not report.is_silent:
                    yield report, status

    def history(self, subscription: str) -> History:
        return self.histories.get(subscription) or History(self.first_minute)


def first_minute(now: float) -> int:
    """The first minute of the charts."""
    return int(now // 60) - MINUTES + 1


def read_reports(now: datetime) -> Reports:
    """All that the first page shows.

    Args:
        now: as the tables have times.
    """
    seconds = now.timestamp()
    first = first_minute(seconds)
    recent = Minute.objects.filter(minute__gte=first)
    lately = Minute.objects.filter(minute__gt=int(seconds // 60) - LATELY)
    return Reports(
        seconds,
        _processes(now),
        {row.name: row for row in Subscription.objects.all()},
        _histories(recent, "subscription", first),
        _durations(lately),
        list(Failure.objects.order_by("-last_seen")[:SHOWN_FAILURES]),
    )


@dataclass(frozen=True)
class Details:
    """More about one subscription."""

    rates: Mapping[str, History]
    """By the run of a process."""
    durations: Sequence[Durations]
    """Of each minute."""
    failures: Sequence[Failure]
    """The latest first."""

    def history_of(self, report: Report) -> History | None:
        return self.rates.get(run_of(report.snapshot))


def read_details(subscription: str, now: float) -> Details:
    """What the page of one subscription shows beside its line of the first page."""
    first = first_minute(now)
    rows = Minute.objects.filter(subscription=subscription, minute__gte=first)
    counted: list[list[Durations]] = [[] for _ in range(MINUTES)]
    for minute, durations in rows.values_list("minute", "durations"):
        if minute - first < MINUTES:
            counted[minute - first].append(_steps(durations))
    failures = Failure.objects.filter(subscription=subscription)
    return Details(
        _histories(rows, "run", first),
        [together(each) for each in counted],
        list(failures.order_by("-last_seen")[:SHOWN_FAILURES]),
    )


def _processes(now: datetime) -> list[Report]:
    reports = []
    for process in Process.objects.order_by("name"):
        try:
            snapshot = from_json(process.snapshot)
        except ValueError:
            continue  # of a version whose snapshots this one cannot read
        reports.append(Report(snapshot, max((now - process.seen_at).total_seconds(), 0.0)))
    known = [report for report in reports if not report.has_ended]
    return sorted(known, key=lambda report: report.is_silent)


def _histories(rows: QuerySet[Minute], by: str, first: int) -> dict[str, History]:
    handled: dict[str, list[int]] = {}
    failed: dict[str, list[int]] = {}
    sums = rows.values_list(by, "minute").annotate(Sum("handled"), Sum("failed")).order_by()
    for name, minute, number_handled, number_failed in sums:
        if minute - first < MINUTES:  # a worker's clock may be fast
            handled.setdefault(name, [0] * MINUTES)[minute - first] = number_handled
            failed.setdefault(name, [0] * MINUTES)[minute - first] = number_failed
    return {name: History(first, handled[name], failed[name]) for name in handled}


def _durations(rows: QuerySet[Minute]) -> dict[str, Durations]:
    counts: dict[str, list[Durations]] = {}
    for name, durations in rows.values_list("subscription", "durations"):
        counts.setdefault(name, []).append(_steps(durations))
    return {name: together(each) for name, each in counts.items()}


def _steps(durations: Mapping[str, int]) -> Durations:
    """As they were counted: the keys of JSON are texts."""
    return {int(step): count for step, count in durations.items()}
