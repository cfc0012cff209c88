"""``manage.py runrele``: consume the subscriptions of the installed apps."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rele.checks import find_problems
from rele.config import load_subscriptions_from_paths, setup
from rele.exceptions import ReleError
from rele.management.discover import discover_subs_modules
from rele.starting import PULLING, announce, raise_for_a_worker
from rele.worker import create_and_run


class Command(BaseCommand):
    help = (
        "Consume the subscriptions of the installed apps: make their topics and subscriptions "
        "where they are missing, then handle messages until SIGINT, SIGTERM or SIGTSTP. Running "
        "handlers then finish, within RELE['SHUTDOWN_TIMEOUT']; a second signal ends at once."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(checks_were_skipped=options["skip_checks"])
        except ReleError as error:
            raise CommandError(str(error)) from error

    def _run(self, checks_were_skipped: bool) -> None:
        raise_for_a_worker(find_problems())
        if checks_were_skipped:
            self._warn_about_lasting_connections()
        config = setup()
        subs = load_subscriptions_from_paths(
            discover_subs_modules(), config.sub_prefix, config.filter_by
        )
        names = ", ".join(app.name for app in apps.get_app_configs())
        announce(subs, f"subs.py and subs/ in the installed apps: {names}", self.stdout.write)
        create_and_run(subs, config, on_start=self._say_that_it_pulls)

    def _say_that_it_pulls(self) -> None:
        self.stdout.write(PULLING)
        self.stdout.flush()

    def _warn_about_lasting_connections(self) -> None:
        for alias, database in settings.DATABASES.items():
            if database.get("CONN_MAX_AGE", 0) != 0:
                self.stderr.write(
                    self.style.WARNING(
                        f"WARNING: the database {alias!r} has CONN_MAX_AGE = "
                        f"{database['CONN_MAX_AGE']!r}: each thread of the worker will keep a "
                        "connection open. Set it to 0 for the worker."
                    )
                )
