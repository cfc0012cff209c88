"""Measuring whole processes side by side: each figure is CPU seconds, user and system."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Mapping, Sequence
from statistics import median


def cpu_seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run ``command`` to its end; the CPU seconds that it and its children took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def interleaved_medians(
    command: Sequence[str], environments: Sequence[Mapping[str, str]], rounds: int
) -> list[float]:
    """The median CPU seconds of ``command`` in each environment, run in turn after a warm-up."""
    figures: list[list[float]] = [[] for _ in environments]
    for round_ in range(rounds + 1):
        for environment, column in zip(environments, figures, strict=True):
            seconds = cpu_seconds(command, environment)
            if round_ > 0:
                column.append(seconds)
    return [median(column) for column in figures]
