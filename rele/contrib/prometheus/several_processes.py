"""The files in which the worker processes count, and the process beside them that reads these."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

from rele.contrib.prometheus.rendering import FOLDER, render
from rele.exceptions import ConfigurationError
from rele.status.providers import STATUS
from rele.status.snapshot import Snapshot

_OF_ENDED = "0"
"""Stands for the id of a process in the name of a file: no process has it."""

_lock = threading.Lock()
"""Of whoever reads the files, while none may be deleted."""


@contextmanager
def files_of_processes() -> Iterator[None]:
    """Within the block, processes that are started count in files, which ``/metrics`` reads.

    Where the environment names no folder for them, they are in a temporary one, which is deleted
    in the end. A folder of the project is its own, which may be shared with other processes.

    Raises:
        ConfigurationError: there is no such folder, and none can be made.
    """
    before = STATUS.metrics
    if own := os.environ.get(FOLDER):
        _check_folder_of_project(Path(own))
        STATUS.metrics = render
    else:
        os.environ[FOLDER] = folder = _temporary_folder()
        STATUS.metrics = partial(_render_and_tidy, Path(folder))
    try:
        yield
    finally:
        STATUS.metrics = before
        if not own:
            os.environ.pop(FOLDER, None)
            shutil.rmtree(folder, ignore_errors=True)


def _check_folder_of_project(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise ConfigurationError(
            f"{FOLDER}={folder} cannot be used: {error}. Name a folder in which this user may "
            "write, or unset the variable."
        ) from error


def _temporary_folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="rele-metrics-")
    except OSError as error:
        raise ConfigurationError(
            "With --processes, PrometheusMiddleware needs a folder for files, and no temporary one "
            f"can be made: {error}. Set {FOLDER} to a folder in which this user may write."
        ) from error


def _render_and_tidy(folder: Path, snapshots: Sequence[Snapshot]) -> tuple[str, bytes]:
    with _lock:
        put_ended_together(folder)
        return render(snapshots)


def put_ended_together(folder: Path) -> None:
    """Add the files of processes that have ended to one: workers may be replaced often.

    Nothing else may read or write the folder's files of ended processes.
    """
    for path in folder.glob("*_*.db"):
        kind, _, process_id = path.stem.rpartition("_")
        if process_id == _OF_ENDED or _is_alive(int(process_id)):
            continue
        if kind.startswith("gauge"):
            mark_process_dead(int(process_id), str(folder))  # type: ignore[no-untyped-call]
        else:
            _add(path, folder / f"{kind}_{_OF_ENDED}.db")
            path.unlink()


def _add(source: Path, target: Path) -> None:
    files: Any = MmapedDict  # which has no types
    whole = files(str(target))
    try:
        for key, value, timestamp, _ in files.read_all_values_from_file(str(source)):
            so_far, _ = whole.read_value(key)
            whole.write_value(key, so_far + value, timestamp)
    finally:
        whole.close()


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
