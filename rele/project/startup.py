"""Running a worker for a project, with the same words at every front door."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.endpoint import pubsub_address
from rele.exceptions import ConfigurationError
from rele.project.extensions import beside_worker
from rele.project.loading import Project, is_error_for_a_worker
from rele.schema.problems import Problem

PULLING = "Pulling messages. Press Ctrl-C to stop."

Write = Callable[[str], object]


def say(line: str) -> None:
    """Print the progress of a command to the standard error: the standard output is for results."""
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def run_worker(
    project: Project,
    options: Mapping[str, Any],
    looked_in: str,
    run: Callable[..., None],
    write: Write = say,
) -> None:
    """Run a worker for ``project`` until it is stopped, with what the rooms run beside it.

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
        SystemExit: in the end.
    """
    config = project.require_config()
    announce(project.subscriptions, looked_in, write)
    say_project(config, write)
    with beside_worker(config, options) as begin:

        def has_started() -> None:
            begin()
            write(PULLING)

        run(list(project.subscriptions), config, on_start=has_started)


def warn(problems: Iterable[Problem]) -> None:
    """Print the warnings with which a worker starts nevertheless."""
    for problem in problems:
        if not is_error_for_a_worker(problem):
            say(f"Warning: {problem}")


def say_project(config: Config, write: Write = say) -> None:
    """Say which Google Cloud project a command uses, and where; nothing where none is known.

    Args:
        config: the project's configuration.
        write: takes the line.
    """
    project = config.gc_project_id
    if project is not None:  # else an error follows
        write(f"Using the Pub/Sub project {project} at {pubsub_address(config.client_options)}.")


def announce(subs: Sequence[Subscription], looked_in: str, write: Write = say) -> None:
    """Write what the worker will consume, a line each.

    Raises:
        ConfigurationError: there is nothing to consume; it says where that was looked for.
    """
    if not subs:
        raise ConfigurationError(
            f"There is no subscription to consume. Relé looked for {looked_in}; declare one there "
            'with @sub(topic="…").'
        )
    write(f"Configuring worker with {len(subs)} subscription(s)...")
    for sub in subs:
        write(f"  {sub}")
