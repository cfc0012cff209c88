from __future__ import annotations

from django.apps import AppConfig

from rele.contrib.outbox.room import ROOM
from rele.project.extensions import register


class OutboxConfig(AppConfig):
    """The Django app of the outbox."""

    name = "rele.contrib.outbox"
    label = "rele_outbox"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(ROOM)
