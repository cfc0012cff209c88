"""What is read from snapshots, and how it is put together over processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from rele.status.health import complaints_of
from rele.status.snapshot import Figure, Phase, Probe, Snapshot, SubscriptionStatus

Kind = Literal["total", "sum", "largest"]
"""A total that only grows, or the sum or the largest of what the processes have now."""


@dataclass(frozen=True)
class Measure:
    """A metric that is read from snapshots."""

    name: str
    help: str
    kind: Kind


@dataclass(frozen=True)
class Reading:
    """A value of one process."""

    measure: Measure
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True)
class _OfSubscription:
    measure: Measure
    read: Callable[[SubscriptionStatus], float | None]


def _of(field: str, kind: Kind, name: str, text: str) -> _OfSubscription:
    return _OfSubscription(Measure(name, text, kind), attrgetter(field))


_OF_SUBSCRIPTIONS = (
    _of("received", "total", "rele_received_total", "Messages received; each delivery counts."),
    _of(
        "redelivered",
        "total",
        "rele_redeliveries_total",
        "Messages received that had been delivered before, where Pub/Sub counts deliveries.",
    ),
    _of("leases_extended", "total", "rele_leases_extended_total", "Extensions of leases."),
    _of(
        "leases_lost",
        "total",
        "rele_leases_lost_total",
        "Leases that ended before their messages were settled, so that these are redelivered.",
    ),
    _of(
        "outstanding",
        "sum",
        "rele_outstanding_messages",
        "Messages that were received and are not settled.",
    ),
    _of(
        "outstanding_bytes",
        "sum",
        "rele_outstanding_bytes",
        "Bytes of the messages that were received and are not settled.",
    ),
    _of(
        "is_at_limit",
        "sum",
        "rele_flow_control_paused",
        "Processes that get no more messages until some are settled.",
    ),
    _of("threads", "sum", "rele_handlers_limit", "Handlers that may run at a time."),
    _of("running", "sum", "rele_handlers_running", "Handlers that run."),
    _of(
        "longest_running",
        "largest",
        "rele_longest_running_handler_seconds",
        "For how long the handler that began first has been running.",
    ),
    _of("streams", "sum", "rele_streams_open", "Streams that are open."),
    _OfSubscription(
        Measure(
            "rele_streams_refused_seconds",
            "For how long a process could open no stream; 0 while each has one.",
            "largest",
        ),
        lambda status: status.refused_for or 0.0,
    ),
    _of("is_paused", "largest", "rele_subscription_paused", "1 while the subscription is paused."),
    _OfSubscription(
        Measure("rele_backlog_messages", "Messages that wait at the server.", "largest"),
        lambda status: None if status.backlog is None else status.backlog.messages,
    ),
    _OfSubscription(
        Measure(
            "rele_backlog_oldest_seconds",
            "The age of the oldest message that is not acked.",
            "largest",
        ),
        lambda status: None if status.backlog is None else status.backlog.oldest_seconds,
    ),
)

_PROCESSES = Measure("rele_processes", "Processes that consume, by what they do.", "sum")
_COMPLAINTS = Measure(
    "rele_complaints",
    "What is wrong in the processes, by the probe that it turns red; not live is not ready, too.",
    "sum",
)


def readings_of(snapshot: Snapshot, *, is_probed: bool) -> Iterator[Reading]:
    """All that a snapshot says of its process.

    Args:
        snapshot: of one process.
        is_probed: whether it belongs to a worker that answers probes, so that it is to consume.
    """
    for status in snapshot.subscriptions:
        for each in _OF_SUBSCRIPTIONS:
            value = each.read(status)
            if value is not None:
                yield Reading(each.measure, (("subscription", status.name),), float(value))
    if snapshot.phase is not None:
        for phase in Phase:
            is_in_it = float(snapshot.phase is phase)
            yield Reading(_PROCESSES, (("phase", phase.value),), is_in_it)
    found = complaints_of(snapshot) if is_probed else snapshot.complaints
    probes = Counter(complaint.probe for complaint in found)
    probes[Probe.READY] += probes[Probe.LIVE]  # as /readyz has it
    for probe in dict.fromkeys((Probe.LIVE, Probe.READY, *probes)):
        yield Reading(_COMPLAINTS, (("probe", probe.value),), float(probes[probe]))
    yield from map(_reading_of, snapshot.figures)


def _reading_of(figure: Figure) -> Reading:
    """A duration of two processes is no sum, but a number of something is."""
    kind: Kind = "largest" if figure.name.endswith("_seconds") else "sum"
    if figure.is_total:
        kind = "total"
    labels = tuple(sorted(figure.labels.items()))
    return Reading(Measure(figure.name, figure.help, kind), labels, figure.value)


Series = tuple[Measure, tuple[tuple[str, str], ...]]
Values = dict[Series, float]


class OverProcesses:
    """Puts together what processes say, one reading of each after the other.

    A total includes that of processes that have ended: it would else fall, which looks like a
    process that counts from 0 again.
    """

    def __init__(self) -> None:
        self._of_ended: Values = {}
        self._last: dict[str, Values] = {}

    def put_together(self, snapshots: Sequence[Snapshot], *, is_probed: bool = True) -> Values:
        """The value of each series over all processes.

        Args:
            snapshots: the latest one of each process. One that has ended is missing, or it shows
                no subscriptions.
            is_probed: see :func:`readings_of`.
        """
        latest = {each.process: _values_of(each, is_probed) for each in snapshots}
        for process, last in self._last.items():
            still_shown = latest.get(process, {})
            for series, value in last.items():
                if series[0].kind == "total" and series not in still_shown:
                    _put(series, value, self._of_ended)
        self._last = latest
        whole = dict(self._of_ended)
        for values in latest.values():
            for series, value in values.items():
                _put(series, value, whole)
        return whole


def _values_of(snapshot: Snapshot, is_probed: bool) -> Values:
    values: Values = {}
    for reading in readings_of(snapshot, is_probed=is_probed):
        _put((reading.measure, reading.labels), reading.value, values)
    return values


def _put(series: Series, value: float, values: Values) -> None:
    """Put ``value`` together with what ``values`` has for the series."""
    if series in values:
        value = (
            max(values[series], value) if series[0].kind == "largest" else values[series] + value
        )
    values[series] = value
