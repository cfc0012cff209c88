"""A project that has Django's admin, with all of Relé's apps in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.checks.registry import registry
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.utils import override_settings

from tests.support.outbox import ALIAS


class Everything:
    """A router of a project whose only database is the outbox's."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return ALIAS

    db_for_write = db_for_read


PROJECT = {
    "INSTALLED_APPS": [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "rele",
        "rele.contrib.outbox",
        "rele.contrib.inbox",
        "rele.contrib.admin",
    ],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    "ROOT_URLCONF": "tests.support.admin_urls",
    "DATABASE_ROUTERS": [f"{__name__}.Everything"],
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "RELE": {"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend"},
}


@contextmanager
def installed(
    databases: dict[str, dict[str, Any]], django_db_blocker: Any, **settings: Any
) -> Iterator[None]:
    """The project, on the databases of those aliases; the first is that of its users."""
    with django_db_blocker.unblock():
        connections.settings.update(databases)
        checks = set(registry.registered_checks)
        try:
            with override_settings(**{**PROJECT, **settings}):
                yield
        finally:
            # The apps of this project have registered theirs; other tests do not have these apps.
            registry.registered_checks = checks
            for alias in databases:
                connections[alias].close()
                del connections[alias]
                del connections.settings[alias]


def migrate(alias: str = ALIAS) -> None:
    call_command("migrate", database=alias, verbosity=0)


def logged_in(*permissions: str, everything: bool = False, enforce_csrf: bool = False) -> Client:
    """A user of the admin, who may do what is named, or everything."""
    from django.contrib.auth.models import Permission, User

    make = User.objects.create_superuser if everything else User.objects.create_user
    user = make("ana", password="secret", **({} if everything else {"is_staff": True}))
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=enforce_csrf)
    client.force_login(user)
    return client


def content(client: Client, address: str) -> str:
    """A page that is there."""
    response = client.get(address)
    assert response.status_code == 200, response
    return str(response.content.decode())


def act(client: Client, address: str, action: str, ids: Any, **answer: str) -> str:
    """Do something with rows of a list; the page that follows."""
    response = client.post(
        address, {"action": action, "_selected_action": list(ids), **answer}, follow=True
    )
    assert response.status_code == 200
    return str(response.content.decode())
