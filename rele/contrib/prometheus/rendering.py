"""What ``/metrics`` answers: the metrics of this process, or of several."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from rele.contrib.prometheus.measures import Measure, OverProcesses
from rele.contrib.prometheus.publisher import outstanding_publishes
from rele.status.providers import STATUS
from rele.status.snapshot import Snapshot

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""In the environment, of prometheus-client: where the processes have files with what they count."""

_snapshots: ContextVar[Sequence[Snapshot] | None] = ContextVar("rele_snapshots", default=None)


class SnapshotCollector(Collector):
    """Makes metrics of the snapshots that are rendered, or else of this process's own."""

    def __init__(self) -> None:
        self._over_processes = OverProcesses()
        self._lock = threading.Lock()

    def describe(self) -> list[Metric]:
        """Nothing: registered at a registry, it is not asked before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        snapshots = _snapshots.get()
        if snapshots is None:
            own = STATUS.snapshot()  # perhaps of a web process
            values = OverProcesses().put_together([own], is_probed=own.phase is not None)
        else:
            with self._lock:
                values = self._over_processes.put_together(snapshots)
        metrics: dict[Measure, Metric] = {}
        for (measure, labels), value in values.items():
            metric = metrics.get(measure)
            if metric is None:
                metric = metrics[measure] = _metric_of(measure)
            metric.add_sample(measure.name, dict(labels), value)
        yield from metrics.values()


def _metric_of(measure: Measure) -> Metric:
    if measure.kind == "total":
        return Metric(measure.name.removesuffix("_total"), measure.help, "counter")
    return Metric(measure.name, measure.help, "gauge")


class _FilesCollector(MultiProcessCollector):
    """Reads the files of processes, of which one may have just been made and be empty yet."""

    def collect(self) -> Any:
        paths = filter(_has_been_filled, Path(self._path).glob("*.db"))
        return self.merge(list(map(str, paths)))  # type: ignore[no-untyped-call]


def _has_been_filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # of a process that has ended
        return False


COLLECTOR = SnapshotCollector()


def show_in_this_process() -> None:
    """Show the metrics of this process: in the default registry, and at ``/metrics``."""
    if STATUS.metrics is None:
        STATUS.metrics = render
        STATUS.add(outstanding_publishes)
        REGISTRY.register(COLLECTOR)


def render(snapshots: Sequence[Snapshot]) -> tuple[str, bytes]:
    """The content type and the text of what is counted here, or in the files, and of snapshots."""
    with _shown(snapshots):
        return CONTENT_TYPE_LATEST, generate_latest(_registry())


@contextmanager
def _shown(snapshots: Sequence[Snapshot]) -> Iterator[None]:
    token = _snapshots.set(snapshots)
    try:
        yield
    finally:
        _snapshots.reset(token)


def _registry() -> CollectorRegistry:
    folder = os.environ.get(FOLDER)
    if not folder:
        return REGISTRY
    registry = CollectorRegistry()
    _FilesCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    registry.register(COLLECTOR)
    return registry
