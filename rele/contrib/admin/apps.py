from __future__ import annotations

from django.apps import AppConfig

from rele.contrib.admin.room import ROOM
from rele.project.extensions import register


class ReleAdminConfig(AppConfig):
    """The Django app of the page."""

    name = "rele.contrib.admin"
    label = "rele_admin"
    verbose_name = "Relé"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(ROOM)
