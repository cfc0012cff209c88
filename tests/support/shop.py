"""A Django project with the outbox and the inbox, whose database and server a test looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rele.emulator.status.query import ask_status
from tests.support import databases
from tests.support.ledger import WRITE
from tests.support.polling import wait_until
from tests.support.project import Project
from tests.support.supervised import Supervised

SETTINGS = """
    from rele.retry_policy import RetryPolicy

    SECRET_KEY = "for tests"
    USE_TZ = True
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    INSTALLED_APPS = ["rele", "rele.contrib.outbox", "rele.contrib.inbox", "shop"]
    DATABASES = {{"default": {database!r}}}
    if DATABASES["default"]["ENGINE"].endswith("mysql"):
        from tests.support import mariadb

        mariadb.provide_driver()
    RELE = {{
        "GC_PROJECT_ID": {project_id!r},
        "MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware", "shop.delivered.Delivered"],
        "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
        "OUTBOX": {outbox!r},
        "SUBSCRIPTION_DEFAULTS": {{"threads": 4, "retry_policy": RetryPolicy(0.1, 1)}},
    }}
"""


DELIVERED = (
    WRITE
    + """
    from rele.middleware import BaseMiddleware

    class Delivered(BaseMiddleware):
        def pre_process_message(self, subscription, message):
            write(f"delivered {message.attributes['number']}")
"""
)
"""Writes down every delivery, of one that is skipped then, too."""


class Shop:
    """A project with an app ``shop`` that has one subscription.

    Args:
        project: where it is written; its processes end with the shop.
        server: address of its Pub/Sub server, past any proxy.
        database_url: of a database on PostgreSQL or MariaDB.
        app: the modules of the app.
        conn_max_age: seconds for which a process keeps a connection to the database.
        outbox: the setting ``RELE["OUTBOX"]``.
    """

    def __init__(
        self,
        project: Project,
        server: str,
        database_url: str,
        app: dict[str, str],
        conn_max_age: int = 0,
        outbox: dict[str, Any] | None = None,
    ) -> None:
        self.project = project
        self._server = server
        self._database_url = database_url
        for name, code in {"__init__.py": "", "delivered.py": DELIVERED, **app}.items():
            project.write(f"shop/{name}", code)
        project.write(
            "settings.py",
            SETTINGS.format(
                database={**databases.settings_of(database_url), "CONN_MAX_AGE": conn_max_age},
                project_id=project.project_id,
                outbox=outbox or {},
            ),
        )
        project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
        self._supervised: list[Supervised] = []

    def make_tables(self) -> None:
        migrate = ("-m", "django", "migrate", "--run-syncdb", "--verbosity", "0")
        status, output = self.project.run(*migrate)
        assert status == 0, output

    def close(self) -> None:
        """End all that was started."""
        for process in self._supervised:
            process.give_up()
        self.project.kill_all()

    def start_application(self, *arguments: str) -> Supervised:
        return self._start("application", ("-m", "shop.application", *arguments))

    def start_relay(self, name: str = "relay", *options: str) -> Supervised:
        return self._start(name, ("-m", "django", "rele", "relay", *options), "Relaying the outbox")

    def start_worker(self, name: str = "worker") -> Supervised:
        return self._start(name, ("-m", "django", "runrele"), "Pulling messages")

    def _start(self, name: str, arguments: Sequence[str], ready: str = "") -> Supervised:
        process = Supervised(self.project, name, arguments, ready)
        self._supervised.append(process)
        return process

    def wait_for_the_subscription(self) -> None:
        """Return when it is there: what is published before would not be delivered."""
        wait_until(lambda: self._subscriptions() != [], 30)

    def wait_until_all_is_done(self, seconds: float) -> None:
        """Return when nothing waits in the outbox or on the server; fails after ``seconds``."""
        wait_until(lambda: not any(self._what_waits().values()), seconds, self._what_waits)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says to ``query``."""
        return databases.rows(self._database_url, query)

    def _what_waits(self) -> dict[str, int]:
        # The outbox first: what has left it by now is on the server.
        [(in_outbox,)] = self.rows("SELECT count(*) FROM rele_outbox_outboxmessage")
        found = self._subscriptions()
        return {
            "in the outbox": in_outbox,
            "to be delivered": sum(each["waiting"] for each in found),
            "leased": sum(each["outstanding"] for each in found),
        }

    def _subscriptions(self) -> list[dict[str, Any]]:
        return [
            dict(each)
            for each in ask_status(self._server)["subscriptions"]
            if each["name"].startswith(f"projects/{self.project.project_id}/")
        ]
