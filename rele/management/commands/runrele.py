"""``manage.py runrele``: consume the subscriptions of the installed apps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele.checks import find_problems
from rele.cli.log import log_to_stderr
from rele.cli.output import tolerant, tolerant_output
from rele.cli.parser import say_wrong_use_plainly
from rele.cli.room_arguments import (
    add_refused_worker_arguments,
    add_worker_arguments,
    refuse_worker_arguments,
)
from rele.config import load_subscriptions_from_paths, setup
from rele.exceptions import ReleError
from rele.management.databases import LASTING_CONNECTIONS
from rele.management.discover import discover_subs_modules
from rele.project.rooms import beside_worker
from rele.project.startup import PULLING, announce, raise_for_a_worker, say_project
from rele.schema.problems import Problem
from rele.worker import create_and_run


class Command(BaseCommand):
    help = (
        "Consume the subscriptions of the installed apps: create their topics and subscriptions "
        "where they are missing, then handle messages until SIGINT, SIGTERM, SIGHUP or SIGTSTP. "
        "Running handlers may then finish, within RELE['SHUTDOWN_TIMEOUT']; a second signal ends "
        "at once. -v sets what is logged to the standard error: 0 errors, 1 also a line for each "
        "message, 2 everything. Without -v, the project's own logging configuration applies."
    )

    def __init__(self, stdout: Any = None, stderr: Any = None, *args: Any, **kwargs: Any) -> None:
        streams = tolerant(stdout or sys.stdout), tolerant(stderr or sys.stderr)
        super().__init__(*streams, *args, **kwargs)

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run the command, which continues when its output cannot be printed."""
        with tolerant_output():
            return super().execute(*args, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        say_wrong_use_plainly(parser)
        # None shows that no -v was given; Django's default is 1.
        parser.set_defaults(verbosity=None)
        add_worker_arguments(parser)
        add_refused_worker_arguments(parser)

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run the system checks, but first refuse the warnings with which no worker starts.

        Django would print them as warnings, and the command would then repeat them as errors.
        """
        _refuse_what_is_wrong()
        super().check(*args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        log_to_stderr(options["verbosity"])
        if options["skip_checks"]:
            for problem in _refuse_what_is_wrong():
                if problem.id == LASTING_CONNECTIONS:
                    self.stderr.write(self.style.WARNING(f"WARNING: {problem}"))
        try:
            refuse_worker_arguments(options)
            self._run(options)
        except ReleError as error:
            raise CommandError(str(error)) from error

    def _run(self, options: Mapping[str, Any]) -> None:
        config = setup()
        subs = load_subscriptions_from_paths(
            discover_subs_modules(), config.sub_prefix, config.filter_by
        )
        names = ", ".join(app.name for app in apps.get_app_configs())
        announce(subs, f"subs.py and subs/ in the installed apps: {names}", self.stdout.write)
        say_project(config, partial(self.stderr.write, style_func=str))
        with beside_worker(config, options) as begin:
            create_and_run(subs, config, on_start=lambda: self._has_started(begin))

    def _has_started(self, begin: Callable[[], None]) -> None:
        begin()
        self.stdout.write(PULLING)
        self.stdout.flush()


def _refuse_what_is_wrong() -> list[Problem]:
    """Return the problems with which a worker may start."""
    problems = find_problems()
    try:
        raise_for_a_worker(problems)
    except ReleError as error:
        raise CommandError(str(error)) from error
    return problems
