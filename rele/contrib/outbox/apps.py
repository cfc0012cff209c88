from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from rele.checks import TAG
from rele.contrib.outbox.room import ROOM
from rele.project.extensions import later, register

# Here, so that an app that is made ready again registers the same functions.
_check_pools = later("rele.contrib.outbox.database_checks:check_pools")
_check_databases = later("rele.contrib.outbox.database_checks:check_databases")


class OutboxConfig(AppConfig):
    """The Django app of the outbox."""

    name = "rele.contrib.outbox"
    label = "rele_outbox"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(ROOM)
        checks.register(_check_pools, TAG)
        checks.register(_check_databases, checks.Tags.database)
