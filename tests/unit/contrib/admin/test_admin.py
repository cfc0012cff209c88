"""The page in the admin of a project: what it shows, who may see it, and who may act."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from rele.cli.noting import operator
from rele.config import Config
from rele.consuming.worker_health import PHASE_REASONS
from rele.contrib.admin import admin as page_admin
from rele.contrib.admin import controls
from rele.contrib.admin.actions import ACTIONS
from rele.contrib.admin.models import Failure, Process, Subscription
from rele.contrib.admin.server_state import ServerWatch
from rele.project.comparison import Comparison
from rele.resources import Plan
from rele.resources.changes import UPDATE_SUBSCRIPTION, Change, Difference
from rele.status.snapshot import Complaint, Figure, Phase, Probe
from tests.support.admin_project import content, logged_in
from tests.support.outbox import ALIAS
from tests.support.rele_admin import (
    PAGE,
    STATUS,
    SUBSCRIPTION,
    report,
    snapshot,
    with_backlog,
)

pytestmark = pytest.mark.usefixtures("project", "_server")

ATTACK = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"

DETAIL = f"{PAGE}{SUBSCRIPTION}/"

PART = {"HTTP_X_RELE_PART": "1"}

LogIn = Callable[..., Client]


@pytest.fixture
def admin() -> Client:
    return logged_in(everything=True)


def words(page: str) -> str:
    """The text of a page without its tags, in one line."""
    return " ".join(re.sub("<[^>]+>", " ", page).split())


def logged() -> list[tuple[str, str, str]]:
    from django.contrib.admin.models import LogEntry

    return [
        (entry.user.get_username(), entry.object_id, entry.get_change_message())
        for entry in LogEntry.objects.order_by("pk")
    ]


def test_before_any_worker_has_run_the_page_shows_what_is_declared(admin: Client) -> None:
    page = words(content(admin, PAGE))

    assert SUBSCRIPTION in page
    assert "no worker no process consumes it" in page
    assert "No worker has reported in the last hour." in page
    assert "No handler has failed in the last 7 days." in page
    assert "No message in the last hour" in page


def test_shows_each_subscription_with_its_rates_and_what_waits(admin: Client) -> None:
    status = with_backlog(STATUS, 1_204, 75.0)
    report(snapshot("web-1:7", status), snapshot("web-2:7", status), handled=50, failed=5)

    page = words(content(admin, PAGE))

    assert "1,204 oldest 1 min" in page
    assert "10% failed" in page
    assert "No message in the last hour" not in page
    assert "6 of 8 2 processes" in page, "handlers running, of how many, in how many processes"
    assert "2 worker processes" in page
    assert "10\N{MULTIPLICATION SIGN} ValueError order 7 has no price" in page


def test_a_backlog_that_nobody_knows_is_not_available_and_not_0(admin: Client) -> None:
    report(snapshot())

    assert "waiting not available" in words(content(admin, PAGE))
    assert "waiting not available" in words(content(admin, DETAIL))


def test_one_subscription_has_a_page_of_its_own(admin: Client) -> None:
    report(snapshot("web-1:7"), snapshot("web-2:7"), handled=40, failed=4)

    page = words(content(admin, DETAIL))

    for text in (
        "web-1:7 consuming, up for ",
        "3 of 4",
        "20 of 100",
        "Everything as it is declared.",
        "testproject.gallery.subs.make_thumbnail",
        "Traceback of order 7 has no price",
        "Nobody has paused it",
    ):
        assert text in page, text


def test_names_the_differences_between_pubsub_and_the_code(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"projects/rele-test/subscriptions/{SUBSCRIPTION}"
    differences = (Difference("ack_deadline", "10", "60"),)
    change = Change(UPDATE_SUBSCRIPTION, path, differences, advice="Nothing is lost.")
    found = Comparison(Plan((change,)), ["projects/rele-test/subscriptions/gallery-old"])
    monkeypatch.setattr(page_admin, "WATCH", ServerWatch(lambda *_: found))

    page = words(content(admin, DETAIL))

    assert f"update subscription {path} Option Pub/Sub has Declared ack_deadline 10 60" in page
    assert "Nothing is lost." in page
    overview = words(content(admin, PAGE))
    assert "photo-uploaded differs from Pub/Sub" in overview
    assert "no code declares: projects/rele-test/subscriptions/gallery-old" in overview


def test_a_process_that_was_stopping_has_ended_once_it_is_silent(admin: Client) -> None:
    report(snapshot("web-1:7"), replace(snapshot("web-2:7"), phase=Phase.DRAINING))
    assert "web-2:7" in words(content(admin, PAGE))

    Process.objects.filter(name="web-2:7").update(seen_at=timezone.now() - timedelta(minutes=2))

    page = words(content(admin, PAGE))
    assert "web-2:7" not in page
    assert "silent" not in page


def test_a_process_that_has_stopped_reporting_is_silent_and_does_not_count(admin: Client) -> None:
    report(snapshot("web-1:7"), snapshot("web-2:7"))
    Process.objects.filter(name="web-2:7").update(seen_at=timezone.now() - timedelta(minutes=2))

    page = words(content(admin, PAGE))

    assert "1 silent" in page
    assert "web-2:7 has not reported for 2 min: it was killed, or it cannot reach" in page
    assert "3 of 4 1 process" in page


def test_a_complaint_names_the_process_that_is_to_be_restarted(admin: Client) -> None:
    stuck = Complaint(Probe.LIVE, SUBSCRIPTION, "A handler has been running for 900 s.")
    report(snapshot("web-1:7", complaints=(stuck,)), snapshot("web-2:7"))

    page = words(content(admin, PAGE))

    assert f"web-1:7: {stuck}" in page
    assert "web-1:7 not live" in page
    assert "web-2:7 consuming" in page
    assert "unwell" in page


def test_a_complaint_of_several_processes_is_shown_once(admin: Client) -> None:
    refused = Complaint(Probe.READY, SUBSCRIPTION, "No stream is open: 403 Denied.")
    report(*(snapshot(f"web-{n}:7", complaints=(refused,)) for n in (1, 2)))

    page = content(admin, PAGE)

    assert page.count(f"<li>{refused}</li>") == 1
    assert "web-2:7 not ready" in words(page)


def test_a_worker_that_stops_is_shown_as_such_and_nothing_is_wrong(admin: Client) -> None:
    stops, outage = (
        Complaint(Probe.READY, "worker", reason)
        for reason in (PHASE_REASONS[Phase.DRAINING], "Pub/Sub has been unavailable for 40 s.")
    )
    report(
        snapshot("web-1:7", phase=Phase.DRAINING, complaints=(stops,)),
        snapshot("web-2:7", complaints=(outage,)),
    )

    page = words(content(admin, PAGE))

    assert "web-1:7 draining" in page
    assert stops.reason not in page
    assert "web-2:7: Pub/Sub has been unavailable for 40 s." in page


def test_the_outbox_and_the_inbox_are_beside_it_for_who_may_see_them(admin: Client) -> None:
    where = {"database": "default"}
    figures = (
        Figure("rele_outbox_parked", 2, "Messages that are parked", where, is_fault=True),
        Figure("rele_outbox_lag_seconds", 9.93148, "The age of the oldest", where),
        Figure("rele_outbox_relays", 1, "Relays", where),
        Figure("rele_publisher_outstanding_bytes", 3_140_000, "Bytes"),
        Figure("shop_carts", 3.5, "Carts", {"country": "ES"}),
    )
    report(snapshot(figures=figures))

    page = content(admin, PAGE)

    assert "/admin/rele_outbox/outboxmessage/" in page
    assert "/admin/rele_inbox/inboxmessage/" in page
    assert "Outbox Messages 0 Relays 0 parked 2 lag 9.9 s As a worker" in words(page)
    assert re.findall('<strong class="rele-bad">([^<]*)<', page) == ["2"]
    assert "Worker processes publisher outstanding 3.1 MB shop carts country ES 3.5" in words(page)
    viewer = logged_in_as("bo", "view_subscription")
    assert "/admin/rele_outbox/" not in content(viewer, PAGE)


def logged_in_as(
    name: str, *permissions: str, enforce_csrf: bool = False, is_staff: bool = True
) -> Client:
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user(name, password="secret", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=enforce_csrf)
    client.force_login(user)
    return client


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_carried_out_after_a_question_and_logged(admin: Client, action: str) -> None:
    address = f"{DETAIL}{action}/"

    asked = content(admin, address)

    assert "No, take me back" in asked
    assert not Subscription.objects.exists()
    assert logged() == []

    done = admin.post(address, {"threads": "7"}, follow=True)

    assert done.redirect_chain == [(DETAIL, 302)]
    [row] = Subscription.objects.all()
    assert (row.is_paused, row.threads) == (action == "pause", 7 if action == "threads" else None)
    assert row.changed_by == "ana"
    [(user, name, text)] = logged()
    assert (user, name) == ("ana", SUBSCRIPTION)
    assert f"{text} Workers notice within 5 s." in words(done.content.decode())
    assert f"ana {text}" in words(content(admin, DETAIL)), "who looks next sees who did it"


def test_who_did_something_with_a_command_is_seen_on_the_page(
    admin: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.post(f"{DETAIL}pause/")
    call_command("rele", "resume", SUBSCRIPTION)

    page = words(content(admin, DETAIL))

    command, click = page.index(f"{operator()} (command line) Resumed."), page.index("ana Paused.")
    assert command < click, "the latest first"


def test_a_paused_subscription_can_be_resumed(admin: Client) -> None:
    controls.pause(SUBSCRIPTION, "ana")
    report(snapshot("web-1:7", replace(STATUS, is_paused=True)))

    for address in (PAGE, DETAIL):
        page = content(admin, address)
        assert f"{DETAIL}resume/" in page
        assert f"{DETAIL}pause/" not in page
        assert "paused last changed by ana, now" in words(page)


def test_the_admins_log_leads_to_the_subscription(admin: Client) -> None:
    admin.post(f"{DETAIL}pause/")
    from django.contrib.admin.models import LogEntry

    address = LogEntry.objects.get().get_admin_url()

    assert address is not None
    assert SUBSCRIPTION in content(admin, address)


@pytest.mark.parametrize("threads", ["0", "-1", "1.5", "x", "²", "9" * 5_000, "10001"])
def test_another_number_of_threads_is_refused(admin: Client, threads: str) -> None:
    page = admin.post(f"{DETAIL}threads/", {"threads": threads}).content.decode()

    assert "Write a whole number from 1 to 10000, or nothing." in page
    assert not Subscription.objects.exists()
    assert logged() == []


@pytest.mark.parametrize(
    "settings",
    [{"USE_TZ": False}, {"LANGUAGE_CODE": "de", "USE_THOUSAND_SEPARATOR": True, "USE_I18N": True}],
    ids=["without time zones", "in German"],
)
def test_times_and_numbers_are_right_in_other_projects(
    admin: Client, settings: dict[str, Any]
) -> None:
    with override_settings(**settings):
        controls.set_threads(SUBSCRIPTION, 1234, "ana")
        report(snapshot(), handled=2000, failed=3)

        overview, detail = content(admin, PAGE), content(admin, DETAIL)
        question = content(admin, f"{DETAIL}threads/")

    assert "1,234 threads a process; last changed by ana, now" in words(overview)
    assert "<title>" in detail
    assert re.findall(r'd="(M[^"]*)"', detail)
    assert not re.findall(r'(?:d|viewBox|x|width)="[^"]*\d,\d', detail)
    assert 'max="10000" value="1234"' in question


def test_the_threads_can_be_what_the_code_says_again(admin: Client) -> None:
    controls.set_threads(SUBSCRIPTION, 7, "ana")
    assert 'value="7"' in content(admin, f"{DETAIL}threads/")

    admin.post(f"{DETAIL}threads/", {"threads": ""})

    assert Subscription.objects.get().threads is None


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_only_look_cannot_act(action: str) -> None:
    viewer = logged_in_as("bo", "view_subscription", "replay_deadletter")
    blind = logged_in_as("di", "pause_subscription")
    stranger = logged_in_as("eve", "view_subscription", "pause_subscription", is_staff=False)
    address = f"{DETAIL}{action}/"

    for user, status in ((viewer, 403), (blind, 403), (stranger, 302), (Client(), 302)):
        assert user.get(address).status_code == status
        refused = user.post(address, {"threads": "7", "confirmed": "1"})
        assert refused.status_code == status
        assert status == 403 or "/login/" in refused["Location"]
    assert not Subscription.objects.exists()
    assert logged() == []
    for page in (content(viewer, PAGE), content(viewer, DETAIL)):
        assert address not in page


@pytest.mark.parametrize("address", [PAGE, DETAIL])
@pytest.mark.parametrize("part", [{}, PART])
def test_who_may_not_look_sees_nothing(address: str, part: dict[str, str]) -> None:
    report(snapshot(), handled=1, failed=1)
    headers: dict[str, Any] = part

    for permissions in ((), ("pause_subscription",), ("view_outboxmessage",)):
        client = logged_in_as(f"bo-{len(permissions)}-{permissions}", *permissions)
        response = client.get(address, **headers)
        assert response.status_code == 403
        assert b"order 7" not in response.content
    anonymous = Client().get(address, **headers)
    assert anonymous.status_code == 302
    assert "/login/" in anonymous["Location"]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_form_of_another_site_does_nothing(action: str) -> None:
    client = logged_in_as("bo", "view_subscription", "pause_subscription", enforce_csrf=True)
    address = f"{DETAIL}{action}/"

    assert client.post(address, {"threads": "7"}).status_code == 403
    assert client.get(f"{address}?threads=7&confirmed=1").status_code == 200
    assert not Subscription.objects.exists()

    token, *_ = re.findall('name="csrfmiddlewaretoken" value="([^"]+)"', content(client, address))
    answer = {"csrfmiddlewaretoken": token, "threads": "7"}
    assert client.post(address, answer).status_code == 302
    assert Subscription.objects.exists()


@pytest.mark.parametrize("name", ["other", f"{SUBSCRIPTION}/x", "..", "%2e%2e", "_3Cscript_3E"])
def test_a_subscription_that_nobody_knows_is_not_there(admin: Client, name: str) -> None:
    for address in (f"{PAGE}{name}/", f"{PAGE}{name}/pause/"):
        assert admin.get(address).status_code == 404
    assert admin.post(f"{PAGE}{name}/pause/").status_code == 404
    assert not Subscription.objects.exists()


@pytest.mark.parametrize("part", [{}, PART])
@pytest.mark.parametrize("where", ["list", "detail", "question", "done"])
def test_nothing_that_was_reported_is_html(admin: Client, where: str, part: dict[str, Any]) -> None:
    status = replace(STATUS, name=ATTACK, topic=ATTACK)
    complaint = Complaint(Probe.LIVE, ATTACK, ATTACK)
    figure = Figure(ATTACK, 1, ATTACK, {ATTACK: ATTACK})
    report(
        snapshot(ATTACK, status, complaints=(complaint,), figures=(figure,)),
        handled=1,
        failed=1,
        text=ATTACK,
    )
    Failure.objects.update(kind=ATTACK, place=ATTACK)
    controls.pause(ATTACK, ATTACK)
    controls.note_action(Config({}), ATTACK, ATTACK, ATTACK)
    [detail] = re.findall(rf"{PAGE}[^/\"]*script[^/\"]*/", content(admin, PAGE))[:1]
    addresses = {"list": PAGE, "detail": detail, "question": f"{detail}pause/", "done": ""}

    if where == "done":
        page = admin.post(f"{detail}pause/", follow=True).content.decode()
    else:
        page = admin.get(addresses[where], **part).content.decode()

    assert ATTACK not in page
    assert ESCAPED in page
    assert "<script>alert" not in page


def test_a_name_with_any_sign_of_pubsub_has_a_page(admin: Client) -> None:
    name = "a.b~c+d%e_f-g"
    report(snapshot("web-1:7", replace(STATUS, name=name)))
    [address] = set(re.findall(rf'href="({PAGE}[^"]*a\.b[^"]*/)"', content(admin, PAGE))) - set(
        re.findall(rf'href="({PAGE}[^"]*/pause/)"', content(admin, PAGE))
    )

    assert f"<h1>{name}</h1>" in content(admin, address)
    admin.post(f"{address}pause/")
    assert Subscription.objects.get().name == name


def test_a_page_that_updates_itself_gets_the_part_that_changes(admin: Client) -> None:
    report(snapshot(), handled=3)

    for address in (PAGE, DETAIL):
        part = admin.get(address, **PART).content.decode()
        assert "<html" not in part
        assert part.strip() in content(admin, address) or "As of" in part
        assert "rele-tiles" in part


def test_a_report_of_another_version_is_left_out(admin: Client) -> None:
    report(snapshot("web-1:7"))
    Process.objects.create(name="web-2:7", snapshot="{}")
    Process.objects.create(name="web-3:7", snapshot="no JSON")

    assert "1 worker process " in words(content(admin, PAGE))


def test_without_its_tables_the_page_says_what_to_do(admin: Client) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("DROP TABLE rele_admin_process")

    for address in (PAGE, DETAIL):
        assert "run `manage.py migrate`" in content(admin, address)


def test_the_page_needs_as_many_queries_for_many_processes_as_for_one(admin: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connections[ALIAS]) as captured:
            content(admin, PAGE)
        return len(captured)

    report(snapshot(), handled=3)
    content(admin, PAGE)
    one = queries()
    report(*(snapshot(f"web-{number}:7") for number in range(20)), handled=3)

    assert queries() == one


def test_a_worker_that_ends_leaves_no_row(admin: Client) -> None:
    from rele.contrib.admin.writing import forget, write

    ending = replace(snapshot("web-1:7"), phase=Phase.ENDED)
    write(ending, {})
    forget(ending.process)

    assert "No worker has reported" in content(admin, PAGE)
