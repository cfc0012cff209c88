"""The inbox in the admin of a project that has one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rele.contrib.inbox.models import InboxMessage
from tests.support import admin_project
from tests.support.admin_project import content, installed, logged_in
from tests.support.outbox import ALIAS, filled_in

ATTACK = "<script>alert(1)</script>"

RECORDS = "/admin/rele_inbox/inboxmessage/"

OTHER = "other"


def file(path: Path) -> dict[str, Any]:
    return filled_in({"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)})


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: Any, django_db_blocker: Any) -> Path:
    """A database with the tables of all apps."""
    path: Path = tmp_path_factory.mktemp("admin") / "project.sqlite3"
    with installed({ALIAS: file(path)}, django_db_blocker):
        admin_project.migrate()
    return path


@pytest.fixture(autouse=True)
def _project(migrated: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    """One with a second database, which has nothing in it yet."""
    path = tmp_path / "project.sqlite3"
    shutil.copy(migrated, path)
    databases = {ALIAS: file(path), OTHER: file(tmp_path / "other.sqlite3")}
    with installed(databases, django_db_blocker):
        yield


@pytest.fixture
def admin() -> Client:
    return logged_in(everything=True)


def handle(*event_ids: str, subscription: str = "orders", alias: str = ALIAS) -> list[int]:
    """Note messages that were handled; their ids."""
    return [
        InboxMessage.objects.using(alias).create(subscription=subscription, event_id=id_).pk
        for id_ in event_ids
    ]


def left(alias: str = ALIAS) -> list[str]:
    rows = InboxMessage.objects.using(alias).order_by("id")
    return list(rows.values_list("event_id", flat=True))


def act(client: Client, ids: list[int], query: str = "", **answer: str) -> str:
    return admin_project.act(client, f"{RECORDS}{query}", "delete_records", ids, **answer)


def answer_of(page: str) -> str:
    [ids] = re.findall(r'name="confirmed" value="([^"]*)"', page)
    return str(ids)


def test_shows_the_records_with_seconds(admin: Client) -> None:
    handle("event-1")

    page = content(admin, RECORDS)

    assert "event-1" in page
    assert "orders" in page
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", page)


def test_an_event_is_searched_for_by_the_index(admin: Client) -> None:
    handle("event-1", "event-2", "a b")
    handle("event-1", subscription="photos")

    with CaptureQueriesContext(connections[ALIAS]) as queries:
        page = content(admin, f"{RECORDS}?q=event-1")

    assert page.count(">event-1</a>") == 2
    assert "event-2" not in page
    searches = [query["sql"] for query in queries if "digest" in query["sql"].partition("WHERE")[2]]
    assert searches
    assert not any('"event_id" =' in sql for sql in searches)
    assert ">event-1</a>" in content(admin, f"{RECORDS}?q=photos event-1")
    assert ">event-2</a>" not in content(admin, f"{RECORDS}?q=photos event-2")
    assert ">a b</a>" in content(admin, f"{RECORDS}?q=a b")
    assert content(admin, f"{RECORDS}?q=event-1&subscription=photos").count(">event-1</a>") == 1


def test_nothing_of_a_record_is_html(admin: Client) -> None:
    ids = handle(ATTACK, subscription=ATTACK)

    pages = [
        content(admin, RECORDS),
        content(admin, f"{RECORDS}{ids[0]}/change/"),
        content(admin, f"{RECORDS}?q={ATTACK}"),
        act(admin, ids),
    ]

    assert [ATTACK in page for page in pages] == [False] * 4
    assert all("&lt;script&gt;alert(1)&lt;/script&gt;" in page for page in pages)


def test_nothing_can_be_added_or_changed(admin: Client) -> None:
    [id_] = handle("event-1")

    assert admin.get(f"{RECORDS}add/").status_code == 403
    assert admin.post(f"{RECORDS}{id_}/change/", {"event_id": "other"}).status_code == 403
    assert admin.post(f"{RECORDS}{id_}/delete/", {"post": "yes"}).status_code == 403
    assert left() == ["event-1"]


def test_records_are_deleted_after_a_question(admin: Client) -> None:
    ids = handle("event-1", "event-2", "event-3")[:2]

    asked = act(admin, ids)

    assert "2 records will be deleted from the inbox" in asked
    assert "it will be handled again" in asked
    assert len(left()) == 3

    done = act(admin, ids, confirmed=answer_of(asked), select_across="1")

    assert "2 record(s) deleted. If Pub/Sub redelivers the message of one" in done
    assert left() == ["event-3"]
    from django.contrib.admin.models import DELETION, LogEntry

    entries = LogEntry.objects.order_by("object_repr")
    assert [(entry.action_flag, entry.object_repr) for entry in entries] == [
        (DELETION, "orders event-1 in outbox"),
        (DELETION, "orders event-2 in outbox"),
    ]


@pytest.mark.parametrize(
    ("permissions", "number"),
    [(("view_inboxmessage",), 1), (("view_inboxmessage", "delete_inboxmessage"), 0)],
)
def test_deleting_is_for_those_who_may(permissions: tuple[str, ...], number: int) -> None:
    client = logged_in(*permissions)
    ids = handle("event-1")

    assert ("delete_records" in content(client, RECORDS)) == (number == 0)
    act(client, ids, confirmed=str(ids[0]), select_across="1")

    assert len(left()) == number


def test_those_who_may_not_look_see_nothing() -> None:
    client = logged_in("delete_inboxmessage")
    [id_] = handle("event-1")

    for address in (RECORDS, f"{RECORDS}{id_}/change/"):
        assert client.get(address).status_code == 403


def test_another_site_cannot_act_for_the_user() -> None:
    client = logged_in(everything=True, enforce_csrf=True)
    [id_] = handle("event-1")
    answer = {"action": "delete_records", "_selected_action": id_, "confirmed": str(id_)}

    assert client.post(RECORDS, answer).status_code == 403

    assert left() == ["event-1"]


def test_another_database_can_be_chosen(admin: Client) -> None:
    handle("event-1")

    assert (
        "There is no inbox in &#x27;other&#x27;."
        in admin.get(f"{RECORDS}?database=other", follow=True).content.decode()
    )

    admin_project.migrate(OTHER)
    handle("event-2", alias=OTHER)
    page = content(admin, f"{RECORDS}?database=other")
    assert ">event-2</a>" in page
    assert "event-1" not in page
