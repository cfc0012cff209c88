"""Running a worker for a project, with the same words at every front door."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from typing import Any, NoReturn

from rele.config import Config
from rele.consuming.control import WorkerControl
from rele.consuming.remote_control import RemoteControl
from rele.declaration.options import SubscriptionOptions
from rele.declaration.subscription import Subscription
from rele.endpoint import pubsub_address
from rele.exceptions import ConfigurationError, ReleError
from rele.project.backlogs import backlog_provider
from rele.project.beside_processes import beside_processes
from rele.project.extensions import beside_worker, in_each_worker, readers_of_controls
from rele.project.loading import Project, is_error_for_a_worker
from rele.project.probes import OPTION, answering_probes
from rele.project.selection import select
from rele.runtime.recycling_rule import RecyclingRule
from rele.runtime.status_reports import report_status
from rele.runtime.supervisor import supervise
from rele.runtime.worker_process import WorkerProcess, this_worker_process
from rele.schema.problems import Problem
from rele.status.fleet import Fleet
from rele.status.providers import STATUS
from rele.status.snapshot import Snapshot

PULLING = "Pulling messages. Press Ctrl-C to stop."

_LAST_STEPS = 4.0
"""Seconds that a worker needs at its end beside handlers and published messages, at most."""

Write = Callable[[str], object]


def say(line: str) -> None:
    """Print the progress of a command to the standard error: the standard output is for results.

    Where that is not possible, nothing is said: the command does its work without.
    """
    if sys.stderr is not None:
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def run_worker(
    project: Project,
    options: Mapping[str, Any],
    looked_in: str,
    run: Callable[..., None],
    write: Write = say,
) -> None:
    """Run a worker for ``project`` until it is stopped, with what the rooms run beside it.

    With the option ``processes``, run that many, each in a process of its own.

    Args:
        project: whose configuration is in use.
        options: of the command line; rooms read theirs.
        looked_in: where subscriptions were looked for.
        run: :func:`rele.worker.create_and_run`.
        write: takes each line about the progress.

    Raises:
        ConfigurationError: no worker can run for this project.
        NoProjectError, UnusableCredentialsError: no project is known.
        NotConnectionError: Pub/Sub cannot be reached.
        WorkerFailedError: one of several processes cannot start.
        SystemExit: in the end.
    """
    config = project.require_config()
    subs = select(project.subscriptions, options.get("only", ()), options.get("exclude", ()))
    if process := this_worker_process():
        STATUS.worker_number = process.number
        if options.get(OPTION):
            report_status(process, STATUS.snapshot)
        with _reported_to_supervisor(process):
            _run_here(subs, config, options, run, lambda: process.tell("pulling"), process)
        return
    processes = options.get("processes")
    announce(subs, looked_in, write, processes)
    say_project(config, write)
    if processes:
        _supervise(config, options, processes, write)
    with answering_probes(options, write):
        _run_here(subs, config, options, run, lambda: write(PULLING))


def _supervise(
    config: Config, options: Mapping[str, Any], processes: int, write: Write
) -> NoReturn:
    stop_seconds = config.shutdown_timeout + config.publisher_timeout + _LAST_STEPS
    fleet = Fleet(socket.gethostname(), processes)

    def snapshots() -> list[Snapshot]:
        return fleet.snapshots(time.monotonic(), time.time())

    with beside_processes(config), answering_probes(options, write, snapshots):
        sys.exit(supervise(processes, stop_seconds, lambda: write(PULLING), fleet))


def is_supervisor(options: Mapping[str, Any]) -> bool:
    """Whether a command with these options only supervises processes that consume."""
    return bool(options.get("processes")) and this_worker_process() is None


def _run_here(
    subs: Sequence[Subscription],
    config: Config,
    options: Mapping[str, Any],
    run: Callable[..., None],
    on_start: Callable[[], object],
    process: WorkerProcess | None = None,
) -> None:
    if options.get("threads"):
        config = copy(config)
        config.overrides = SubscriptionOptions(threads=options["threads"])
    rule = RecyclingRule(options.get("max_messages"), options.get("max_rss"))
    with in_each_worker(config), ExitStack() as rooms:
        begin = _nothing
        if process is None or process.is_first:
            if backlogs := backlog_provider(config, subs):
                rooms.callback(STATUS.add(backlogs))
            begin = rooms.enter_context(beside_worker(config, options))

        def has_started() -> None:
            begin()
            on_start()

        control = WorkerControl(process, rule, rooms.close) if process or rule.is_set else None
        readers = readers_of_controls(config)

        def before_run(worker: Any) -> None:
            if control is not None:
                control.take(worker)
            worker.remote_control = RemoteControl(readers)

        controls = {"before_run": before_run} if control or readers else {}
        run(subs, config, on_start=has_started, **controls)


@contextmanager
def _reported_to_supervisor(process: WorkerProcess) -> Iterator[None]:
    """Within the block, an error ends the process, and its supervisor says why."""
    try:
        yield
    except ReleError as error:
        if process.tell("failed", str(error)):
            sys.exit(1)
        raise


def _nothing() -> None:
    """What begins beside a worker that no room runs anything beside."""


def warn(problems: Iterable[Problem], write: Write = say) -> None:
    """Write the warnings with which a worker starts nevertheless."""
    for problem in problems:
        if not is_error_for_a_worker(problem):
            write(f"Warning: {problem}")


def say_project(config: Config, write: Write = say) -> None:
    """Say which Google Cloud project a command uses, and where; nothing where none is known.

    Args:
        config: the project's configuration.
        write: takes the line.
    """
    project = config.gc_project_id
    if project is not None:  # else an error follows
        write(f"Using the Pub/Sub project {project} at {pubsub_address(config.client_options)}.")


def announce(
    subs: Sequence[Subscription],
    looked_in: str,
    write: Write = say,
    processes: int | None = None,
) -> None:
    """Write what the worker will consume, a line each, and in how many processes of its own.

    Raises:
        ConfigurationError: there is nothing to consume; it says where that was looked for.
    """
    if not subs:
        raise ConfigurationError(
            f"There is no subscription to consume. Relé looked for {looked_in}; declare one there "
            'with @sub(topic="…").'
        )
    where = f" in {processes} process(es)" if processes else ""
    write(f"Configuring worker with {len(subs)} subscription(s){where}...")
    for sub in subs:
        write(f"  {sub}")
