"""Files in which several processes count, and the process beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from rele.contrib import PrometheusMiddleware
from rele.contrib.prometheus.several_processes import put_ended_together
from rele.exceptions import ConfigurationError
from rele.status.providers import STATUS
from tests.support.monitoring import samples_in

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

COUNTING = """
import sys
from prometheus_client import Counter, Gauge, Histogram

Counter("paid_total", "Paid.", ["shop"]).labels("north").inc(2)
Histogram("took_seconds", "Took.", buckets=[1, 10]).observe(5)
Gauge("now", "Now.", multiprocess_mode="livesum").set(1)
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Three processes that have counted, and wait."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTING],
            env={**os.environ, FOLDER: str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    yield started
    for process in started:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("", timeout=30)


def values(folder: Path) -> dict[str, float]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return {
        sample.name + str(sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_what_ended_processes_have_counted_is_put_together(
    counting: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Else there would be files for each worker that was ever replaced."""
    counted = {"paid_total": 6, "took_seconds_sum": 15, "took_seconds_count": 3}
    buckets = {"took_seconds_bucket1.0": 0, "took_seconds_bucket10.0": 3}
    expected = {**counted, **buckets, "took_seconds_bucket+Inf": 3}
    assert values(tmp_path) == {**expected, "now": 3}
    first, second, alive = counting

    for process in (first, second):
        end(process)
        put_ended_together(tmp_path)
        put_ended_together(tmp_path)

    assert values(tmp_path) == {**expected, "now": 1}
    assert {path.name for path in tmp_path.iterdir()} == {
        "counter_0.db",
        "histogram_0.db",
        *(f"{kind}_{alive.pid}.db" for kind in ("counter", "histogram", "gauge_livesum")),
    }


def test_the_files_are_in_a_folder_of_its_own_which_goes_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)

    with PrometheusMiddleware.beside_processes(None):
        folder = Path(os.environ[FOLDER])
        (folder / f"counter_{os.getpid()}.db").touch()  # of a process that is about to fill it
        subprocess.run([sys.executable, "-c", COUNTING], stdin=subprocess.DEVNULL, check=True)
        assert STATUS.metrics is not None
        _, content = STATUS.metrics([])

    assert samples_in(content.decode())["paid_total", frozenset({("shop", "north")})] == 2
    assert not folder.exists()
    assert FOLDER not in os.environ
    assert STATUS.metrics is None


def test_a_folder_of_the_project_is_made_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "of" / "project"
    monkeypatch.setenv(FOLDER, str(folder))

    with PrometheusMiddleware.beside_processes(None):
        subprocess.run([sys.executable, "-c", COUNTING], stdin=subprocess.DEVNULL, check=True)
        assert STATUS.metrics is not None
        _, content = STATUS.metrics([])

    assert samples_in(content.decode())["paid_total", frozenset({("shop", "north")})] == 2
    assert len([*folder.glob("counter_*.db")]) == 1
    assert os.environ[FOLDER] == str(folder)


def test_a_folder_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER, str(tmp_path / "file"))

    with pytest.raises(ConfigurationError, match=f"{FOLDER}=.*/file cannot be used: .*File exists"):
        PrometheusMiddleware.beside_processes(None).__enter__()


def test_so_is_a_machine_without_a_place_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with pytest.raises(ConfigurationError, match=f"no temporary one can be made: .*Set {FOLDER}"):
        PrometheusMiddleware.beside_processes(None).__enter__()
    assert FOLDER not in os.environ
