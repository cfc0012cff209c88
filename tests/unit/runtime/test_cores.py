from __future__ import annotations

import os
from pathlib import Path

import pytest

from rele.runtime.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def cores(tmp_path: Path) -> int:
    return usable_cores(tmp_path / "cgroup", tmp_path / "own")


def test_without_a_limit_the_cores_that_the_process_may_run_on(tmp_path: Path) -> None:
    assert cores(tmp_path) == 8
    write(tmp_path / "cgroup/cpu.max", "max 100000\n")
    assert cores(tmp_path) == 8


@pytest.mark.parametrize(
    ("limit", "count"), [("200000", 2), ("150000", 2), ("50000", 1), ("9900000", 8)]
)
def test_a_container_may_have_less(tmp_path: Path, limit: str, count: int) -> None:
    write(tmp_path / "cgroup/cpu.max", f"{limit} 100000\n")

    assert cores(tmp_path) == count


def test_a_service_may_have_less_and_what_it_is_in_as_well(tmp_path: Path) -> None:
    write(tmp_path / "own", "0::/system.slice/worker.service\n")
    write(tmp_path / "cgroup/system.slice/worker.service/cpu.max", "500000 100000\n")
    assert cores(tmp_path) == 5

    write(tmp_path / "cgroup/system.slice/cpu.max", "300000 100000\n")
    assert cores(tmp_path) == 3


def test_the_first_version_of_cgroups(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpu/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert cores(tmp_path) == 8

    write(tmp_path / "cgroup/cpu/cpu.cfs_quota_us", "400000\n")
    assert cores(tmp_path) == 4


def test_a_file_that_is_no_limit_is_none(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/cpu.max", "nonsense\n")
    write(tmp_path / "own", "")

    assert cores(tmp_path) == 8
