"""``manage.py runrele``: consume the subscriptions of the installed apps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from rele import config as configuration
from rele.cli.extension_arguments import (
    add_refused_worker_arguments,
    add_worker_arguments,
    refuse_worker_arguments,
)
from rele.cli.log import add_log_format, log_to_stderr, say_json
from rele.cli.output import tolerant, tolerant_output
from rele.cli.parser import say_wrong_use_plainly
from rele.cli.worker_arguments import add_own_worker_arguments
from rele.exceptions import ReleError
from rele.management.database_status import contributing_databases
from rele.management.databases import LASTING_CONNECTIONS
from rele.management.project import loaded_once
from rele.management.reloading import is_outer, run_reloaded, watching_sources
from rele.project.startup import is_supervisor, run_worker
from rele.runtime.worker_process import this_worker_process
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
        if getattr(self, "_called_from_command_line", False) and is_outer(options):
            sys.exit(run_reloaded())
        with tolerant_output(), loaded_once() as self._project:
            return super().execute(*args, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        say_wrong_use_plainly(parser)
        # None shows that no -v was given; Django's default is 1.
        parser.set_defaults(verbosity=None)
        add_log_format(parser)
        add_own_worker_arguments(parser)
        parser.add_argument(
            "--noreload",
            action="store_false",
            dest="use_reloader",
            default=settings.DEBUG,
            help="do not start the worker again when the project's code changes, as it does by "
            "default where DEBUG is on",
        )
        add_worker_arguments(parser)
        add_refused_worker_arguments(parser)

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run the system checks, but first refuse the warnings with which no worker starts.

        Django would print them as warnings, and the command would then repeat them as errors.
        """
        with _shown_by_django():
            self._project.require_config()
            if this_worker_process():
                return  # the supervisor has shown what the checks say
        super().check(*args, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options["log_format"] == "json"
        log_to_stderr(options["verbosity"], as_json=as_json)
        with _shown_by_django():
            config = self._project.require_config()
            if options["skip_checks"] and this_worker_process() is None:
                self._warn_of_lasting_connections()
            refuse_worker_arguments(options)
            if not is_supervisor(options):
                configuration.use(config)
            names = ", ".join(app.name for app in apps.get_app_configs())
            looked_in = f"subs.py and subs/ in the installed apps: {names}"
            write = say_json if as_json else self._say
            with contributing_databases(options), watching_sources():
                run_worker(self._project, options, looked_in, create_and_run, write)

    def _warn_of_lasting_connections(self) -> None:
        for problem in self._project.problems:
            if problem.id == LASTING_CONNECTIONS:
                self.stderr.write(self.style.WARNING(f"WARNING: {problem}"))

    def _say(self, line: str) -> None:
        self.stderr.write(line, style_func=str)
        self.stderr.flush()


@contextmanager
def _shown_by_django() -> Iterator[None]:
    try:
        yield
    except ReleError as error:
        raise CommandError(str(error)) from error
