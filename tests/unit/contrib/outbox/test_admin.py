"""The outbox in the admin of a project that has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks.registry import registry
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.utils import override_settings
from django.utils import timezone

import rele
from rele.contrib.outbox.models import OutboxMessage, Relay, State
from tests.support.outbox import ALIAS, filled_in, waiting

ATTACK = "<script>alert(1)</script>"

MESSAGES = "/admin/rele_outbox/outboxmessage/"


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


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: Any, django_db_blocker: Any) -> Path:
    """A database with the tables of all apps."""
    path: Path = tmp_path_factory.mktemp("admin") / "project.sqlite3"
    with installed(path, django_db_blocker):
        call_command("migrate", database=ALIAS, verbosity=0)
    return path


class installed:  # noqa: N801 - used as a function
    """The project, on the database in a file."""

    def __init__(self, path: Path, django_db_blocker: Any) -> None:
        self._database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}
        self._settings = override_settings(**PROJECT)
        self._unblocked = django_db_blocker.unblock()

    def __enter__(self) -> None:
        self._unblocked.__enter__()
        connections.settings[ALIAS] = filled_in(self._database)
        self._checks = set(registry.registered_checks)
        self._settings.enable()

    def __exit__(self, *args: object) -> None:
        self._settings.disable()
        # The apps of this project have registered theirs, and other tests do not have these apps.
        registry.registered_checks = self._checks
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]
        self._unblocked.__exit__(*args)


@pytest.fixture
def project(migrated: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    path = tmp_path / "project.sqlite3"
    shutil.copy(migrated, path)
    with installed(path, django_db_blocker):
        yield


LogIn = Callable[..., Client]


@pytest.fixture
def log_in(project: None) -> LogIn:
    """Log a user of the admin in, who may do what is named, or everything."""

    def log_in(*permissions: str, everything: bool = False) -> Client:
        from django.contrib.auth.models import Permission, User

        make = User.objects.create_superuser if everything else User.objects.create_user
        user = make("ana", password="secret", **({} if everything else {"is_staff": True}))
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def admin(log_in: LogIn) -> Client:
    return log_in(everything=True)


def content(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, response
    return response.content.decode()


def act(client: Client, action: str) -> str:
    """Do something with all messages; return the page that follows."""
    response = client.post(
        MESSAGES,
        {"action": action, "_selected_action": [row.pk for row in waiting()]},
        follow=True,
    )
    assert response.status_code == 200
    return response.content.decode()


def test_shows_the_messages_and_the_relays(admin: Client) -> None:
    event_id = rele.publish("order-paid", 1, ordering_key="customer-7").result(0)
    Relay.objects.using(ALIAS).create(name="web-1:7")

    page = content(admin, MESSAGES)

    assert all(text in page for text in (event_id, "order-paid", "customer-7", "waiting"))
    assert "web-1:7" in content(admin, "/admin/rele_outbox/relay/")


@pytest.mark.parametrize("where", ["list", "page"])
def test_nothing_of_a_message_is_html(admin: Client, where: str) -> None:
    rele.publish("order-paid", ATTACK, ordering_key=ATTACK, event_id=ATTACK, note=ATTACK)
    OutboxMessage.objects.using(ALIAS).update(topic=ATTACK, last_error=ATTACK)
    [row] = waiting()

    page = content(admin, MESSAGES if where == "list" else f"{MESSAGES}{row.pk}/change/")

    assert ATTACK not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_shows_the_payload_as_text(admin: Client) -> None:
    rele.publish("order-paid", {"name": "Zoë", "id": 42})
    [row] = waiting()

    page = content(admin, f"{MESSAGES}{row.pk}/change/")

    assert "{&quot;name&quot;: &quot;Zo\\u00eb&quot;, &quot;id&quot;: 42}" in page


@pytest.mark.parametrize("data", [b"\xff\x00", b"x" * 50_000])
def test_a_payload_may_be_anything(admin: Client, data: bytes) -> None:
    row = OutboxMessage.objects.using(ALIAS).create(event_id="1", topic="orders", data=data)

    page = content(admin, f"{MESSAGES}{row.pk}/change/")

    assert "x" * 10_001 not in page
    assert ("\ufffd" if len(data) < 3 else "x… (50,000 characters)") in page


def test_messages_can_be_searched_and_filtered(admin: Client) -> None:
    for topic in ("order-paid", "order-sent"):
        rele.publish(topic, 1, ordering_key=f"key-of-{topic}", event_id=f"id-of-{topic}")
    OutboxMessage.objects.using(ALIAS).filter(topic="order-sent").update(
        state=State.PARKED, created_at=timezone.now() - timedelta(hours=2)
    )

    for query in (
        *("q=order-sent", "q=key-of-order-sent", "q=id-of-order-sent"),
        *("state__exact=2", "topic=order-sent", "age=minute", "age=hour"),
    ):
        page = content(admin, f"{MESSAGES}?{query}")
        assert "id-of-order-sent" in page, query
        assert "id-of-order-paid" not in page, query
    assert "id-of-order" not in content(admin, f"{MESSAGES}?age=day")


def test_nothing_can_be_added_changed_or_deleted(admin: Client) -> None:
    rele.publish("order-paid", 1)
    [row] = waiting()

    assert admin.get(f"{MESSAGES}add/").status_code == 403
    assert admin.post(f"{MESSAGES}{row.pk}/change/", {"topic": "other"}).status_code == 403
    assert admin.post(f"{MESSAGES}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in content(admin, MESSAGES)
    assert [row.topic for row in waiting()] == ["order-paid"]


def test_a_parked_message_can_be_tried_again(admin: Client) -> None:
    rele.publish_many("order-paid", [1, 2])
    OutboxMessage.objects.using(ALIAS).update(state=State.PARKED, attempts=20)

    assert "2 message(s) will be retried now." in act(admin, "retry_messages")

    assert {(row.state, row.attempts) for row in waiting()} == {(State.WAITING, 0)}


def test_messages_can_be_discarded(admin: Client) -> None:
    rele.publish_many("order-paid", [1, 2])

    assert "2 message(s) discarded." in act(admin, "discard_messages")

    assert waiting() == []


def test_what_is_sent_is_not_tried_again(admin: Client) -> None:
    rele.publish("order-paid", 1)
    OutboxMessage.objects.using(ALIAS).update(state=State.SENT)

    assert "0 message(s) will be retried now." in act(admin, "retry_messages")


@pytest.mark.parametrize(
    ("permissions", "left"),
    [
        (("view_outboxmessage",), [State.PARKED]),
        (("view_outboxmessage", "retry_outboxmessage"), [State.WAITING]),
        (("view_outboxmessage", "discard_outboxmessage"), []),
    ],
)
def test_the_actions_are_for_those_who_may(
    log_in: LogIn, permissions: tuple[str, ...], left: list[State]
) -> None:
    client = log_in(*permissions)
    rele.publish("order-paid", 1)
    OutboxMessage.objects.using(ALIAS).update(state=State.PARKED)
    page = content(client, MESSAGES)

    act(client, "retry_messages")
    act(client, "discard_messages")

    assert [row.state for row in waiting()] == left
    for action in ("retry", "discard"):
        assert (f"{action}_messages" in page) == (f"{action}_outboxmessage" in permissions)


@pytest.mark.parametrize("permissions", [(), ("retry_outboxmessage", "discard_outboxmessage")])
def test_those_who_may_not_look_see_nothing(log_in: LogIn, permissions: tuple[str, ...]) -> None:
    client = log_in(*permissions)
    rele.publish("order-paid", 1)
    [row] = waiting()

    for address in (MESSAGES, f"{MESSAGES}{row.pk}/change/"):
        assert client.get(address).status_code == 403
