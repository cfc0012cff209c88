from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from rele.checks import TAG
from rele.contrib.outbox.room import ROOM
from rele.project.extensions import later, register


class OutboxConfig(AppConfig):
    """The Django app of the outbox."""

    name = "rele.contrib.outbox"
    label = "rele_outbox"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(ROOM)
        checks.register(later(f"{self.name}.database_checks:check_pools"), TAG)
        checks.register(later(f"{self.name}.database_checks:check_databases"), checks.Tags.database)
