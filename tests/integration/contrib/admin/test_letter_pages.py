"""Dead letters on the page, with a running server: looked at, and replayed by group."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.test.utils import override_settings

from rele.cli.noting import operator
from rele.contrib.admin import letters as letters_of_page
from tests.support import rele_admin
from tests.support.admin_project import PROJECT, content, logged_in
from tests.support.dead_letters import QUICK, Letters
from tests.support.rele_admin import PAGE, STATUS, report, snapshot

ATTACK = "<script>alert(1)</script>"

DEAD = f"{PAGE}orders/deadletters/"

REPLAY = f"{DEAD}replay/"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a migrated database is, once a test has used it."""
    return tmp_path_factory.mktemp("page") / "project.sqlite3"


@pytest.fixture
def letters(
    migrated: Path,
    django_db_blocker: Any,
    embedded_server: str,
    project_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Letters]:
    """Of the subscription ``orders``, which a worker consumes."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    monkeypatch.setattr(letters_of_page, "QUIET", 0.3)
    letters = Letters(project_id)
    settings = {**PROJECT["RELE"], "GC_PROJECT_ID": project_id}
    with rele_admin.project(migrated, django_db_blocker), override_settings(RELE=settings):
        report(snapshot("web-1:7", replace(STATUS, name="orders", topic="orders")))
        yield letters
    letters.close()


def groups_of(page: str) -> list[str]:
    """The values by which forms name the groups."""
    return [html.unescape(each) for each in re.findall('name="group" value="([^"]*)"', page)]


def text_of(page: str) -> str:
    return html.unescape(" ".join(re.sub("<[^>]+>", " ", page).split()))


def look(client: Client) -> str:
    return str(client.post(DEAD).content.decode())


def test_a_group_is_replayed_after_a_question_and_the_others_stay(letters: Letters) -> None:
    letters.put(b"1", b"2", error=ValueError("order 17 has no price"), event_id="e")
    letters.put(b"3", error=ValueError("order 4 has no price"))
    letters.put(b"4", error=KeyError("stock"))
    admin = logged_in(everything=True)

    assert groups_of(content(admin, DEAD)) == [], "a page that is only opened pulls nothing"
    page = look(admin)
    first, _ = groups_of(page)
    assert "4 dead letters." in text_of(page)
    assert "ValueError: order 17 has no price shop.subs.ship 3" in text_of(page)
    asked = admin.post(REPLAY, {"group": first}).content.decode()
    assert "ValueError: order # has no price (shop.subs.ship)" in text_of(asked)
    assert groups_of(asked) == [first]

    done = admin.post(REPLAY, {"group": first, "confirmed": "1"}, follow=True)

    assert "3 dead letters replayed." in text_of(done.content.decode())
    replayed = letters.pull(letters.subscription)
    assert sorted(each.data for each in replayed) == [b"1", b"2", b"3"]
    assert {each.attributes.get("event_id") for each in replayed} == {"e", None}
    assert [each.data for each in letters.pull(letters.dead)] == [b"4"]
    from django.contrib.admin.models import LogEntry

    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.get_username()) == ("orders", "ana")
    assert "Dead letters ValueError: order # has no price" in entry.get_change_message()


def test_what_a_command_does_with_dead_letters_is_seen_on_the_page(letters: Letters) -> None:
    letters.put(b"1", error=ValueError("no price"))
    letters.put(b"2", b"3", error=KeyError("stock"))

    for action, error in (("replay", "ValueError"), ("discard", "KeyError")):
        call_command("rele", "deadletters", "orders", action, "--error", error, "--yes", *QUICK)
    call_command("rele", "seek", "orders", "--to", "now", "--yes")

    page = text_of(content(logged_in(everything=True), f"{PAGE}orders/"))
    for what in ("1 dead letter replayed.", "2 dead letters discarded.", "Sought to 20"):
        assert f"{operator()} (command line) {what}" in page


def test_who_may_not_replay_cannot(letters: Letters) -> None:
    letters.put(b"1", error=KeyError("stock"))
    letters.put(b"2")
    viewer = logged_in("view_subscription", "pause_subscription")

    page = look(viewer)

    assert "KeyError: 'stock'" in text_of(page)
    assert "not known: moved by Pub/Sub" in text_of(page)
    assert groups_of(page) == []
    answer = {"group": '["KeyError", "\'stock\'", "shop.subs.ship"]', "confirmed": "1"}
    assert viewer.post(REPLAY, answer).status_code == 403
    assert viewer.get(REPLAY, answer).status_code == 403
    assert len(letters.pull(letters.dead)) == 2


def test_a_form_of_another_site_replays_and_pulls_nothing(letters: Letters) -> None:
    letters.put(b"1", error=KeyError("stock"))
    client = logged_in("view_subscription", "replay_deadletter", enforce_csrf=True)
    answer = {"group": '["KeyError", "\'stock\'", "shop.subs.ship"]', "confirmed": "1"}

    assert client.post(REPLAY, answer).status_code == 403
    assert client.post(DEAD).status_code == 403
    assert client.get(REPLAY, answer).status_code == 302
    assert len(letters.pull(letters.dead)) == 1


@pytest.mark.parametrize(
    "group", ["", "x", "[]", '["a", "b"]', "[1, 2, 3]", "[" * 100_000, '{"a": 1}']
)
def test_a_group_of_another_form_replays_nothing(letters: Letters, group: str) -> None:
    admin = logged_in(everything=True)

    response = admin.post(REPLAY, {"group": group, "confirmed": "1"})

    assert (response.status_code, response["Location"]) == (302, DEAD)


def test_nothing_of_a_letter_is_html(letters: Letters) -> None:
    letters.put(ATTACK.encode(), error=ValueError(ATTACK), handler=ATTACK, note=ATTACK)
    admin = logged_in(everything=True)

    page = look(admin)
    [group] = groups_of(page)
    asked = admin.post(REPLAY, {"group": group}).content.decode()
    done = admin.post(REPLAY, {"group": group, "confirmed": "1"}, follow=True).content.decode()

    for each in (page, asked, done, content(admin, f"{PAGE}orders/")):
        assert ATTACK not in each
    assert "1 dead letter replayed." in done
    assert "&lt;script&gt;" in asked


def test_a_subscription_without_dead_letters_says_so(letters: Letters) -> None:
    letters.subscribe("plain", letters.topic)
    report(snapshot("web-1:7", replace(STATUS, name="plain", topic="orders")))
    admin = logged_in(everything=True)

    page = admin.post(f"{PAGE}plain/deadletters/").content.decode()

    assert "errornote" in page
    assert "no dead-letter" in page
