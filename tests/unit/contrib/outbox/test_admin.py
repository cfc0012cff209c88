"""The outbox in the admin of a project that has one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import rele
from rele.contrib.outbox import using
from rele.contrib.outbox.models import OutboxMessage, Relay, State
from rele.contrib.outbox.payloads import as_readable_text
from rele.management import admin as management_admin
from tests.support import admin_project
from tests.support.admin_project import PROJECT, content, installed, logged_in
from tests.support.outbox import ALIAS, filled_in, waiting

ATTACK = "<script>alert(1)</script>"

MESSAGES = "/admin/rele_outbox/outboxmessage/"

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


@pytest.fixture
def project(migrated: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    path = tmp_path / "project.sqlite3"
    shutil.copy(migrated, path)
    with installed({ALIAS: file(path)}, django_db_blocker):
        yield


LogIn = Callable[..., Client]


@pytest.fixture
def log_in(project: None) -> LogIn:
    return logged_in


@pytest.fixture
def admin(log_in: LogIn) -> Client:
    return log_in(everything=True)


def act(client: Client, action: str, **answer: str) -> str:
    """Do something with all messages; return the page that follows."""
    return admin_project.act(client, MESSAGES, action, [row.pk for row in waiting()], **answer)


def answer_of(page: str) -> dict[str, str]:
    """The fields of a confirmation page's form, as a browser sends them."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def confirm(client: Client, action: str) -> str:
    """Do something with all messages, and say yes on the page that asks."""
    answer = answer_of(act(client, action))
    answer.pop("_selected_action")
    return act(client, answer.pop("action"), **answer)


def logged() -> list[tuple[str, str, str]]:
    """What the admin's log has."""
    from django.contrib.admin.models import LogEntry

    return [
        (entry.user.get_username(), entry.object_repr, entry.get_change_message())
        for entry in LogEntry.objects.order_by("object_id")
    ]


def test_shows_the_messages_and_the_relays(admin: Client) -> None:
    event_id = rele.publish("order-paid", 1, ordering_key="customer-7").result(0)
    Relay.objects.using(ALIAS).create(name="web-1:7", sent=12_345, rate=98.76)

    page = content(admin, MESSAGES)

    assert all(text in page for text in (event_id, "order-paid", "customer-7", "waiting"))
    relays = content(admin, "/admin/rele_outbox/relay/")
    assert all(text in relays for text in ("web-1:7", "12345", "98.8"))


def test_states_are_badges_and_times_have_seconds(admin: Client) -> None:
    rele.publish("order-paid", 1)
    written = timezone.localtime(waiting()[0].created_at)
    OutboxMessage.objects.using(ALIAS).update(
        state=State.DELAYED, attempts=3, next_attempt_at=written + timedelta(seconds=61)
    )

    page = content(admin, MESSAGES)

    assert '<span class="rele-state rele-delayed">delayed</span>' in page
    due = written + timedelta(seconds=61)
    assert ">3 attempt(s)</span>" in page
    assert f">next {due:%Y-%m-%d %H:%M:%S}</span>" in page
    assert f"{written:%Y-%m-%d %H:%M:%S}" in page
    assert "rele_outbox/admin.css" in page


@pytest.mark.parametrize("where", ["list", "page", "confirmation", "filter", "search"])
def test_nothing_of_a_message_is_html(admin: Client, where: str) -> None:
    rele.publish("order-paid", ATTACK, ordering_key=ATTACK, event_id=ATTACK, note=ATTACK)
    OutboxMessage.objects.using(ALIAS).update(topic=ATTACK, last_error=ATTACK)
    [row] = waiting()

    if where == "confirmation":
        page = act(admin, "discard_messages")
    else:
        address = {
            "list": MESSAGES,
            "page": f"{MESSAGES}{row.pk}/change/",
            "filter": f"{MESSAGES}?topic={ATTACK}",
            "search": f"{MESSAGES}?q={ATTACK}",
        }
        page = content(admin, address[where])

    assert ATTACK not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_nothing_of_a_discarded_message_is_html(admin: Client) -> None:
    OutboxMessage.objects.using(ALIAS).create(event_id=ATTACK, topic=ATTACK, data=b"1")

    assert ATTACK not in confirm(admin, "discard_messages")

    assert ATTACK not in content(admin, "/admin/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in content(admin, "/admin/")


def test_shows_the_payload_as_indented_json(admin: Client) -> None:
    rele.publish("order-paid", {"name": "Zoë", "id": 42})
    [row] = waiting()

    page = content(admin, f"{MESSAGES}{row.pk}/change/")

    assert "{\n  &quot;name&quot;: &quot;Zoë&quot;,\n  &quot;id&quot;: 42\n}</pre>" in page


@pytest.mark.parametrize(
    "data",
    [b"\xff\x00", b"x" * 50_000, b"[" * 50_000, b'"\\ud800"', b"1e999", b"9" * 5_000, b""],
    ids=lambda data: repr(data[:8]),
)
def test_a_payload_may_be_anything(admin: Client, data: bytes) -> None:
    row = OutboxMessage.objects.using(ALIAS).create(event_id="1", topic="orders", data=data)

    page = content(admin, f"{MESSAGES}{row.pk}/change/")

    assert data.decode("utf-8", "replace")[:10_000].replace('"', "&quot;") in page or (
        as_readable_text(data).replace('"', "&quot;") in page
    )
    assert "x" * 10_001 not in page
    assert ("… (50,000 bytes in all)" in page) == (len(data) == 50_000)


def test_of_a_long_payload_the_beginning_is_read(admin: Client) -> None:
    data = b'{"a": "' + b"x" * 9_000_000 + b'"}'
    row = OutboxMessage.objects.using(ALIAS).create(event_id="1", topic="orders", data=data)

    with CaptureQueriesContext(connections[ALIAS]) as queries:
        page = content(admin, f"{MESSAGES}{row.pk}/change/")

    assert "{&quot;a&quot;: &quot;xxx" in page
    assert "… (9,000,009 bytes in all)" in page
    column = '"rele_outbox_outboxmessage"."data"'
    whole = [query["sql"].replace(f"SUBSTR({column}", "") for query in queries]
    assert not [sql for sql in whole if f"{column}," in sql]


def test_lists_and_actions_read_no_payload(admin: Client) -> None:
    rele.publish_many("order-paid", [1, 2])
    OutboxMessage.objects.using(ALIAS).update(state=State.PARKED)
    ids = [row.pk for row in waiting()]

    with CaptureQueriesContext(connections[ALIAS]) as queries:
        content(admin, MESSAGES)
        for action in ("retry_messages", "discard_messages"):
            admin_project.act(admin, MESSAGES, action, ids)
        answer = {"confirmed": ",".join(map(str, ids)), "select_across": "1"}
        admin_project.act(admin, MESSAGES, "discard_messages", ids, **answer)

    selects = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert any("rele_outbox_outboxmessage" in sql for sql in selects)
    assert [sql for sql in selects if '"data"' in sql] == []
    assert waiting() == []


def test_messages_can_be_searched_and_filtered(admin: Client) -> None:
    for topic in ("order-sent", "order-paid"):
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


@pytest.mark.parametrize("older", [0, 1, 2, 7, 10])
def test_an_age_divides_the_messages_wherever_it_lies(admin: Client, older: int) -> None:
    for number in range(10):
        rele.publish("orders", number, event_id=f"id-{number}-")
    messages = OutboxMessage.objects.using(ALIAS)
    ids = list(messages.order_by("id").values_list("id", flat=True))
    messages.filter(id__in=ids[:older]).update(created_at=timezone.now() - timedelta(hours=2))
    messages.filter(id=ids[4]).delete()

    page = content(admin, f"{MESSAGES}?age=hour")

    shown = {int(number) for number in re.findall(r"id-(\d)-", page)}
    assert shown == set(range(older)) - {4}


def test_an_empty_outbox_has_no_ages(admin: Client) -> None:
    assert "0 messages" in content(admin, f"{MESSAGES}?age=hour")


def test_nothing_can_be_added_changed_or_deleted(admin: Client) -> None:
    rele.publish("order-paid", 1)
    [row] = waiting()

    assert admin.get(f"{MESSAGES}add/").status_code == 403
    assert admin.post(f"{MESSAGES}{row.pk}/change/", {"topic": "other"}).status_code == 403
    assert admin.post(f"{MESSAGES}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in content(admin, MESSAGES)
    assert [row.topic for row in waiting()] == ["order-paid"]


@pytest.mark.parametrize("state", [State.PARKED, State.DELAYED])
def test_a_failed_message_can_be_tried_again(admin: Client, state: State) -> None:
    rele.publish_many("order-paid", [1, 2])
    OutboxMessage.objects.using(ALIAS).update(state=state, attempts=20)

    assert "2 message(s) will be retried now." in act(admin, "retry_messages")

    assert {(row.state, row.attempts) for row in waiting()} == {(State.WAITING, 0)}
    assert logged() == [
        ("ana", str(row), f"Retried: it was {state.label} after 20 attempt(s).")
        for row in waiting()
    ]


def test_messages_are_discarded_after_a_question(admin: Client) -> None:
    rele.publish_many("order-paid", range(12))
    OutboxMessage.objects.using(ALIAS).filter(data=b"1").update(state=State.PARKED)
    names = sorted(map(str, waiting()))

    asked = act(admin, "discard_messages")

    assert "12 messages will be deleted from the outbox for good:\n11 waiting, 1 parked." in asked
    assert "it may still be sent" in asked
    assert "and 2 more" in asked
    assert len(waiting()) == 12
    assert logged() == []

    done = confirm(admin, "discard_messages")

    assert "12 message(s) discarded. If a relay had taken one of them already, it may" in done
    assert waiting() == []
    entries = logged()
    assert sorted(name for _, name, _ in entries) == names
    assert {text for *_, text in entries} == {
        "Discarded: it was waiting.",
        "Discarded: it was parked.",
    }


def test_what_was_not_in_the_question_is_not_discarded(admin: Client) -> None:
    rele.publish_many("order-paid", [1, 2])
    answer = answer_of(act(admin, "discard_messages"))
    rele.publish("order-paid", 3)

    act(admin, "discard_messages", confirmed=answer["confirmed"], select_across="1")

    assert [bytes(row.data) for row in waiting()] == [b"3"]


@pytest.mark.parametrize("ids", ["", "x", "1;DROP TABLE", "-1", "9" * 5_000, "²", ",,"])
def test_an_answer_of_another_form_discards_nothing(admin: Client, ids: str) -> None:
    rele.publish("order-paid", 1)

    page = act(admin, "discard_messages", confirmed=ids, select_across="1")

    assert "0 message(s) discarded. They are no longer there." in page
    assert len(waiting()) == 1
    assert logged() == []


def test_the_selected_are_no_more_than_are_listed(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management_admin, "LISTED", 3)
    rele.publish_many("order-paid", range(5))

    page = content(admin, MESSAGES)
    asked = act(admin, "discard_messages", select_across="1")

    assert "These are the newest messages; there are more." in page
    assert "3 messages will be deleted" in asked
    assert "the newest of those that you have selected" in asked
    answer = answer_of(asked)
    act(admin, "discard_messages", confirmed=answer["confirmed"], select_across="1")
    assert [bytes(row.data) for row in waiting()] == [b"0", b"1"]


def test_what_is_sent_is_not_tried_again(admin: Client) -> None:
    rele.publish("order-paid", 1)
    OutboxMessage.objects.using(ALIAS).update(state=State.SENT)

    assert "0 message(s) will be retried now. Only what was refused" in act(admin, "retry_messages")
    assert logged() == []


@pytest.mark.parametrize(
    ("permissions", "left"),
    [
        (("view_outboxmessage",), [State.PARKED]),
        (("view_outboxmessage", "change_outboxmessage", "delete_outboxmessage"), [State.PARKED]),
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
    ids = str(waiting()[0].pk)

    act(client, "retry_messages")
    act(client, "discard_messages", confirmed=ids, select_across="1")

    assert [row.state for row in waiting()] == left
    for action in ("retry", "discard"):
        assert (f"{action}_messages" in page) == (f"{action}_outboxmessage" in permissions)


@pytest.mark.parametrize("permissions", [(), ("retry_outboxmessage", "discard_outboxmessage")])
def test_those_who_may_not_look_see_nothing(log_in: LogIn, permissions: tuple[str, ...]) -> None:
    client = log_in(*permissions)
    rele.publish("order-paid", 1)
    [row] = waiting()

    for address in (MESSAGES, f"{MESSAGES}{row.pk}/change/", f"{MESSAGES}{row.pk}/history/"):
        assert client.get(address).status_code == 403
    for action in ("retry_messages", "discard_messages"):
        answer = {"action": action, "_selected_action": row.pk, "confirmed": str(row.pk)}
        assert client.post(MESSAGES, answer).status_code == 403
    assert len(waiting()) == 1


def test_another_site_cannot_act_for_the_user(log_in: LogIn) -> None:
    client = log_in(everything=True, enforce_csrf=True)
    rele.publish("order-paid", 1)
    OutboxMessage.objects.using(ALIAS).update(state=State.PARKED)
    [row] = waiting()

    for action in ("retry_messages", "discard_messages"):
        answer = {"action": action, "_selected_action": row.pk, "confirmed": str(row.pk)}
        assert client.post(MESSAGES, answer).status_code == 403
        client.get(MESSAGES, answer)

    assert [row.state for row in waiting()] == [State.PARKED]
    assert 'name="csrfmiddlewaretoken"' in content(client, MESSAGES)


class TestSeveralDatabases:
    @pytest.fixture
    def admin(self, migrated: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[Client]:
        paths = {alias: tmp_path / f"{alias}.sqlite3" for alias in (ALIAS, OTHER)}
        for path in paths.values():
            shutil.copy(migrated, path)
        databases = {alias: file(path) for alias, path in paths.items()}
        relay = {**PROJECT["RELE"], "OUTBOX": {"USING": [ALIAS, OTHER]}}  # type: ignore[dict-item]
        with installed(databases, django_db_blocker, RELE=relay):
            yield logged_in(everything=True)

    @pytest.fixture(autouse=True)
    def _messages(self, admin: Client) -> None:
        rele.publish("orders", {"in": "first"}, event_id="in-first")
        with using(OTHER):
            rele.publish("orders", {"in": "second"}, event_id="in-second")

    def test_a_filter_chooses_one(self, admin: Client) -> None:
        first, second = (content(admin, f"{MESSAGES}{query}") for query in ("", "?database=other"))

        assert "in-first" in first
        assert "in-second" not in first
        assert "in-second" in second
        assert "in-first" not in second
        assert "?database=other" in first
        assert "in-first" in content(admin, f"{MESSAGES}?database=nowhere")

    def test_a_messages_page_is_of_the_database_of_its_list(self, admin: Client) -> None:
        page = content(admin, f"{MESSAGES}?database=other")
        [link] = re.findall(r'<a href="([^"]*/change/[^"]*)"', page)

        shown = content(admin, link.replace("&amp;", "&"))

        assert "&quot;in&quot;: &quot;second&quot;" in shown, re.findall(
            "<pre.*?</pre>", shown, re.S
        )

    def test_an_action_is_about_the_database_of_its_list(self, admin: Client) -> None:
        address = f"{MESSAGES}?database=other"
        rows = OutboxMessage.objects.using(OTHER)
        ids = list(rows.values_list("pk", flat=True))
        answer = answer_of(admin_project.act(admin, address, "discard_messages", ids))
        answer.pop("_selected_action")

        admin_project.act(admin, address, answer.pop("action"), ids, **answer)

        assert not rows.exists()
        assert len(waiting()) == 1
        assert [name for _, name, _ in logged()] == ["orders in-second in other"]
