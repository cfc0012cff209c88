from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class OutboxConfig(AppConfig):
    """The Django app of the outbox."""

    name = "rele.contrib.outbox"
    label = "rele_outbox"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from rele.contrib.outbox.checks import check_outbox

        checks.register(check_outbox, "rele")
