"""The Django app."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.signals import setting_changed

from rele import config, middleware, publishing
from rele.checks import TAG, check_deployment, check_project


class ReleConfig(AppConfig):
    """Lets Relé read ``settings.RELE``, and registers the system checks. It connects to nothing."""

    name = "rele"
    verbose_name = "Relé"

    def ready(self) -> None:
        config.read_settings_by(lambda: getattr(settings, "RELE", {}))
        middleware.read_config_by(config.of_project)
        checks.register(check_project, TAG)
        checks.register(check_deployment, TAG, deploy=True)
        setting_changed.connect(_forget_old_settings, dispatch_uid="rele")


def _forget_old_settings(*, setting: str, **kwargs: Any) -> None:
    if setting == "RELE":
        publishing.forget()
