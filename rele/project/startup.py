"""What every front door does before a worker runs: refuse what cannot work, and say what will."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.endpoint import pubsub_address
from rele.exceptions import ConfigurationError
from rele.schema.problems import Problem

#: Warnings elsewhere, since ``migrate`` and image builds run checks too; a worker cannot do
#: without what they ask for.
ERRORS_FOR_A_WORKER = frozenset({"rele.W002", "rele.W003", "rele.W009"})

PULLING = "Pulling messages. Press Ctrl-C to stop."


def raise_for_a_worker(problems: Iterable[Problem]) -> None:
    """Raise for those of ``problems`` with which no worker should start.

    Raises:
        ConfigurationError: with all of them.
    """
    fatal = [p for p in problems if p.is_error or p.id in ERRORS_FOR_A_WORKER]
    if fatal:
        raise ConfigurationError("\n".join(map(str, fatal)))


def warn(problems: Iterable[Problem]) -> None:
    """Write those that are no errors to the standard error."""
    for problem in problems:
        if not problem.is_error and problem.id not in ERRORS_FOR_A_WORKER:
            print(f"Warning: {problem}", file=sys.stderr)


def say_project(config: Config, write: Callable[[str], object] | None = None) -> None:
    """Say which project a command uses, and where; nothing where no project is known.

    Args:
        config: the project's configuration.
        write: takes the line; by default it goes to the standard error, as a result is on the
            standard output.
    """
    project = config.gc_project_id
    if project is None:
        return  # the error that follows says so
    line = f"Using the Pub/Sub project {project} at {pubsub_address(config.client_options)}."
    if write is not None:
        write(line)
    elif sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)


def announce(subs: Sequence[Subscription], looked_in: str, write: Callable[[str], object]) -> None:
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
