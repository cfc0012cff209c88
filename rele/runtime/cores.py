"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """The cores that the system lets this process run on, at least 1.

    A limit of CPU time, as a container or a service has it, counts as that many cores, rounded up.

    Args:
        cgroups: where the system shows these limits; they are known on Linux alone.
        own: the file that says which of them concern this process.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min([cores, *_quotas(cgroups, own)])))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """The limits, each in cores."""
    for folder in _folders(cgroups, own):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            yield int(quota) / int(period)  # a ValueError for "max", which is no limit
    with suppress(OSError, ValueError):  # the first version of cgroups
        quota, period = (
            (cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii")
            for name in ("quota", "period")
        )
        if int(quota) > 0:
            yield int(quota) / int(period)


def _folders(cgroups: Path, own: Path) -> list[Path]:
    """The group of this process and those that it is in."""
    lines: list[str] = []
    with suppress(OSError):
        lines = own.read_text(encoding="utf-8").splitlines()
    paths = [Path(line[3:].lstrip("/")) for line in lines if line.startswith("0::")]
    return [cgroups, *(cgroups / each for path in paths for each in (path, *path.parents))]
