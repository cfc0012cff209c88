"""``manage.py runrele``: consume the subscriptions of the installed apps."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rele.config import load_subscriptions_from_paths, setup
from rele.exceptions import ReleError
from rele.management.discover import discover_subs_modules
from rele.worker import create_and_run


class Command(BaseCommand):
    help = "Consume the subscriptions of the installed apps until the process is told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        self._warn_about_lasting_connections()
        config = setup()
        modules = discover_subs_modules()
        subs = load_subscriptions_from_paths(modules, config.sub_prefix, config.filter_by)
        if not subs:
            raise CommandError(
                "There is no subscription to consume: no installed app has a subs.py that "
                "declares one with @sub."
            )
        self.stdout.write(f"Configuring worker with {len(subs)} subscription(s)...")
        for sub in subs:
            self.stdout.write(f"  {sub}")
        try:
            create_and_run(subs, config, on_start=self._say_that_it_pulls)
        except ReleError as error:
            raise CommandError(str(error)) from error

    def _say_that_it_pulls(self) -> None:
        self.stdout.write("Pulling messages. Press Ctrl-C to stop.")
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
