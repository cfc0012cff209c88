"""Running a worker again when the project's code changes, as ``runserver`` does under DEBUG.

A process beside it (the outer one) runs the command in a process of its own. That one watches the
files with Django's autoreloader; when one changes, it shuts down gracefully, as after SIGTERM, and
ends with a status by which the outer process knows that it is to be started again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.utils import autoreload

from rele.runtime.stopping import STOP_SIGNALS, catch_stop_signals, stop_signals
from rele.runtime.worker_process import this_worker_process

logger = logging.getLogger(__name__)

VARIABLE = "RELE_RELOADED_BY"
"""Has the id of the outer process, and when it started this one, in seconds since the epoch."""

CHANGED = 3
"""The exit status of a process that has ended because a file has changed, as in Django."""

_SOURCES = "**/*.py"

_LOOK_SECONDS = 0.5
"""The interval at which the outer process looks for a change after a failure."""


def is_outer(options: Mapping[str, Any]) -> bool:
    """Whether this process is to run the command in another one, and again after changes.

    Args:
        options: of the command line.
    """
    is_inner = VARIABLE in os.environ or this_worker_process() is not None
    return bool(options["use_reloader"]) and not is_inner


def run_reloaded() -> int:
    """Run this process's command, again after each change, until a signal ends it.

    If it fails after a change, the next change starts it again. If it fails before any change, that
    is the end.

    Returns:
        the exit status.
    """
    return _Outer().run()


@contextmanager
def watching_sources() -> Iterator[None]:
    """Within the block, let a change of the code end it by SIGTERM; then exit with ``CHANGED``.

    Where no outer process has started this one, nothing is watched.

    Raises:
        SystemExit: in the end, if a file has changed.
    """
    value = os.environ.pop(VARIABLE, None)  # it is not for processes that this one starts
    if value is None:
        yield
        return
    outer, started_at = value.split(":")
    watch = _Watch(int(outer), float(started_at))
    watch.start()
    try:
        yield
    finally:
        if watch.has_changed:
            sys.exit(CHANGED)


class _Outer:
    """Starts the command's processes, one after the other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._must_end = threading.Event()

    def run(self) -> int:
        undo = catch_stop_signals(self._pass_on, *STOP_SIGNALS, "SIGTSTP")
        has_reloaded = False
        try:
            while True:
                before = _state_of_sources()
                status = self._run_once()
                if status == CHANGED:
                    has_reloaded, status = True, 0
                    if not self._must_end.is_set():
                        continue
                if status == 0 or not has_reloaded or not self._waits_for_change(before):
                    return status
        finally:
            undo()

    def _run_once(self) -> int:
        environment = {**os.environ, VARIABLE: f"{os.getpid()}:{time.time()}"}
        environment[autoreload.DJANGO_AUTORELOAD_ENV] = "true"  # projects ask for it in ready()
        self._process = subprocess.Popen(autoreload.get_child_arguments(), env=environment)
        if (
            self._must_end.is_set()
        ):  # since a signal came before there was anything to pass it on to
            self._process.terminate()
        status = self._process.wait()
        if self._must_end.is_set() and -status in stop_signals():
            return 0  # it was stopped before it had started
        return status if status >= 0 else 128 - status  # as a shell has it

    def _pass_on(self, signum: int, frame: object) -> None:
        self._must_end.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                # A terminal's Ctrl-C has reached it, too: two within a second count as one.
                self._process.send_signal(signal.SIGTERM)

    def _waits_for_change(self, before: Mapping[Path, float]) -> bool:
        """Return when a file is not as it was before; ``False``: this process must end."""
        if not self._must_end.is_set():
            print("The worker starts again when a file changes.", file=sys.stderr, flush=True)
        while not self._must_end.is_set():
            if _state_of_sources() != before:
                return True
            self._must_end.wait(_LOOK_SECONDS)
        return False


def _state_of_sources() -> dict[Path, float]:
    """When each file was changed that an app has, and those beside this process's modules."""
    reloader = autoreload.StatReloader()
    for app in apps.get_app_configs():
        # Also what could not be imported, and is no module of this process therefore.
        reloader.watch_dir(app.path, _SOURCES)
    reloader.watch_dir(Path.cwd(), "*.py")
    return dict(reloader.snapshot_files())


class _Watch:
    """Watches the files of this process's modules, and whether the outer process is there.

    Args:
        outer: the id of the outer process.
        started_at: when it started this one, in seconds since the epoch.
    """

    def __init__(self, outer: int, started_at: float) -> None:
        self._outer = outer
        self._started_at = started_at
        self._thread = threading.Thread(target=self._watch, name="rele-reloader", daemon=True)
        self._changed_at: dict[Path, float] = {}
        self._missing: set[Path] = set()
        self.has_changed = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _watch(self) -> None:
        reloader = autoreload.StatReloader()
        autoreload.autoreload_started.send(sender=reloader)
        while True:
            found = dict(reloader.snapshot_files())
            changed = [path for path, at in found.items() if self._is_change(path, at)]
            for path in (*changed, *self._deleted(found)):
                if not _is_dealt_with(reloader, path):
                    self._note_change(path, "was deleted" if path not in found else "has changed")
            if (self.has_changed or os.getppid() != self._outer) and _signals_are_caught():
                os.kill(os.getpid(), signal.SIGTERM)
                return
            time.sleep(reloader.SLEEP_TIME)

    def _is_change(self, path: Path, changed_at: float) -> bool:
        """Whether the file has changed since it was looked at, or since this process was started.

        In that case it may have been imported before.
        """
        before = self._changed_at.get(path)
        self._changed_at[path] = changed_at
        if before is None:
            return self._started_at < changed_at <= time.time()
        return changed_at > before

    def _deleted(self, found: Container[Path]) -> set[Path]:
        """Files that two looks have missed: some editors replace a file in two steps."""
        missing = {path for path in self._changed_at if path not in found and not path.exists()}
        deleted, self._missing = missing & self._missing, missing
        for path in deleted:
            del self._changed_at[path]
        return deleted

    def _note_change(self, path: Path, what: str) -> None:
        if not self.has_changed:
            self.has_changed = True
            logger.info("%s %s: the worker stops gracefully and starts again.", path, what)


def _signals_are_caught() -> bool:
    """Whether SIGTERM stops the worker gracefully by now."""
    return callable(signal.getsignal(signal.SIGTERM))


def _is_dealt_with(reloader: autoreload.StatReloader, path: Path) -> bool:
    """Whether a receiver of Django's signal has dealt with the change, as for templates."""
    results = autoreload.file_changed.send(sender=reloader, file_path=path)
    return any(is_done for _, is_done in results)
