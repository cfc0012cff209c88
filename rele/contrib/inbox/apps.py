from __future__ import annotations

from django.apps import AppConfig

from rele.contrib.inbox.room import ROOM
from rele.project.extensions import register


class InboxConfig(AppConfig):
    """The Django app of the inbox."""

    name = "rele.contrib.inbox"
    label = "rele_inbox"
    verbose_name = "Inbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(ROOM)
