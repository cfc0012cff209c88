"""The page of the subscriptions in the admin, in a browser: wide and narrow, light and dark."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.admin_site import (
    assert_it_is_readable,
    follow,
    logged_in_browser,
    running_site,
    see,
    show_in,
)
from tests.support.dead_letters import Letters
from tests.support.servers import started

FILL = """
import django
django.setup()
import math, time
from dataclasses import replace
from datetime import timedelta
from django.utils import timezone
from rele.contrib.admin.models import Failure, Minute, Process, Subscription
from rele.contrib.admin.scale import step_of
from rele.contrib.admin.writing import run_of, write
from rele.contrib.outbox.models import OutboxMessage
from rele.status.snapshot import (
    Backlog, Complaint, Figure, Phase, Probe, Snapshot, SubscriptionStatus,
)

long = "customer-relationship-" * 6
names = ["gallery-photo-uploaded", "gallery-photo-processed-activity", "shop-orders",
         "shop-invoices", f"shop-{long}exports", "shop-refunds"]
now = time.time()
minute = int(now // 60)
statuses = {
    name: SubscriptionStatus(
        name, name.partition("-")[2], threads=8, streams=1, running=number, outstanding=9 * number,
        limit=100, received=4000, redelivered=number, idle_for=2.0 + 90 * number,
        backlog=Backlog(1204 * number, 75.0) if number < 3 else None,
    )
    for number, name in enumerate(names)
}
statuses["shop-invoices"] = replace(statuses["shop-invoices"], is_paused=True, streams=0)
statuses["shop-refunds"] = replace(statuses["shop-refunds"], refused_for=340.0, streams=0)
complaint = Complaint(Probe.READY, "shop-refunds", "No stream could be opened for 340 s: 403 User "
                      "not authorized to perform this action. Grant roles/pubsub.subscriber.")
processes = [
    Snapshot(
        f"worker-7d9f6b5c4-{end}:1", now, now - age, phase=Phase.CONSUMING,
        subscriptions=tuple(statuses.values()), complaints=(complaint,),
        figures=(Figure("rele_outbox_waiting", 17, "Messages that wait to be sent"),),
    )
    for end, age in (("x2v8k", 90_000), ("q5m1z", 90_010), ("b7n3w", 42))
]
for process in processes:
    write(process, {})
silent = Process.objects.filter(name__endswith="q5m1z:1")
silent.update(seen_at=timezone.now() - timedelta(minutes=3))
Minute.objects.bulk_create(
    Minute(
        subscription=name, run=run_of(process), minute=minute - ago, handled=handled,
        failed=handled // 9 if name == "shop-orders" and ago < 12 else 0,
        durations={
            str(step_of(seconds * (number + 1) * (2 if ago < 12 else 1))): max(handled // share, 1)
            for seconds, share in ((0.02, 2), (0.05, 3), (0.4, 12))
        },
    )
    for process in processes
    for number, name in enumerate(names[:4])
    for ago in range(75)
    if (handled := int(40 + 30 * math.sin(ago / (5 + number)) + 17 * ((ago * 7) % 3)))
    and not (name == "shop-invoices" and ago < 20)
)
trace = '''Traceback (most recent call last):
  File "/app/shop/subs.py", line 41, in charge
    price = PRICES[order["product"]]
            ~~~~~~^^^^^^^^^^^^^^^^^^
KeyError: 'umbrella'
'''
for number, (kind, text) in enumerate((
    ("KeyError", "'umbrella'"),
    ("shop.payments.CardRefusedError", "The bank refused card 4711: " + "insufficient " * 12),
    ("django.db.utils.OperationalError", "could not connect to server: Connection refused"),
)):
    Failure.objects.create(
        fingerprint=f"{number:064}", subscription="shop-orders", kind=kind, text=text,
        place="shop.subs.charge:41", traceback=trace, count=[1204, 77, 3][number],
        first_seen=timezone.now() - timedelta(hours=3),
        last_seen=timezone.now() - timedelta(seconds=[4, 300, 9000][number]),
    )
Subscription.objects.create(name="shop-invoices", is_paused=True, changed_by="ana",
                            changed_at=timezone.now() - timedelta(minutes=20))
OutboxMessage.objects.create(event_id="1", topic="orders", data=b"1")
"""

PAGE = "rele_admin/subscription/"

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a Pub/Sub server."""
    with started("embedded") as address:
        yield address


@pytest.fixture(scope="module")
def site(folder: Path, server: str) -> Iterator[str]:
    """The address of the admin of the test project's web server."""
    with running_site(folder, FILL, PUBSUB_EMULATOR_HOST=server) as address:
        yield address


@pytest.fixture(scope="module")
def browser(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with logged_in_browser(site, tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def execute(folder: Path, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    """Do something in the site's database, as another process does."""
    with closing(sqlite3.connect(folder / "db.sqlite3", timeout=20)) as connection, connection:
        return connection.execute(statement, arguments).fetchall()


def text_of(browser: Chrome, selector: str) -> str:
    text: str = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(found => found.innerText).join();",
        selector,
    )
    return text


def update(browser: Chrome) -> None:
    """Let the page update itself now, instead of within 5 s."""
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'));")


def assert_it_fits(browser: Chrome, width: int) -> None:
    page, wide = browser.execute_script(
        "const right = found => found.getBoundingClientRect().right;"
        "const most = Math.min(window.innerWidth, right(document.querySelector('.rele'))) + 1;"
        "const wide = [...document.querySelectorAll('#content *')].filter("
        "    found => right(found) > most && !found.closest('pre'));"
        "return [document.documentElement.scrollWidth, wide.map(found => found.outerHTML)];"
    )
    assert page <= width
    assert wide == []


@pytest.mark.parametrize(
    ("scheme", "width"),
    [*product(("light", "dark"), WIDTHS), ("light", 1200), ("light", 1024), ("dark", 900)],
)
def test_the_page_of_all_subscriptions_fits_and_can_be_read(
    browser: Chrome, site: str, scheme: str, width: int
) -> None:
    show_in(browser, scheme, width)
    browser.get(f"{site}{PAGE}")
    see(browser, f"subscriptions-{scheme}-{width}")

    assert_it_fits(browser, width)
    assert_it_is_readable(
        browser, ".rele-state, .rele-note, .rele-tile dt, .rele-tile dd, .rele-bad, .rele-count"
    )
    assert len(browser.find_elements(By.CSS_SELECTOR, ".rele-spark svg")) == 6
    assert "3 min" in text_of(browser, ".rele-complaints")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_one_subscription_fits_and_can_be_read(
    browser: Chrome, site: str, scheme: str, width: int
) -> None:
    show_in(browser, scheme, width)
    browser.get(f"{site}{PAGE}")
    follow(browser, browser.find_element(By.LINK_TEXT, "shop-orders"))
    browser.execute_script("document.querySelector('.rele-failures summary').click();")
    see(browser, f"subscription-{scheme}-{width}")

    assert_it_fits(browser, width)
    assert_it_is_readable(
        browser, ".rele-state, .rele-note, .rele-text, .rele-key, .rele-scale span"
    )
    assert "KeyError: 'umbrella'" in text_of(browser, ".rele-text")


@pytest.mark.parametrize("width", WIDTHS)
def test_shows_what_pubsub_lacks(browser: Chrome, site: str, width: int) -> None:
    show_in(browser, "light", width)
    browser.get(f"{site}{PAGE}")
    follow(browser, browser.find_element(By.LINK_TEXT, "gallery-photo-uploaded"))
    see(browser, f"declared-{width}")

    assert_it_fits(browser, width)
    assert "create subscription projects/rele-demo/subscriptions/gallery-photo-uploaded" in text_of(
        browser, ".rele-drift"
    )


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_subscription_is_paused_and_resumed_with_or_without_javascript(
    browser: Chrome, site: str, folder: Path, scripts: bool
) -> None:
    show_in(browser, "light", 390)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    try:
        browser.get(f"{site}{PAGE}gallery-photo-uploaded/")
        for action in ("Pause", "Resume"):
            follow(browser, browser.find_element(By.LINK_TEXT, action))
            see(browser, f"question-{action}")
            follow(browser, browser.find_element(By.CSS_SELECTOR, "#content input[type=submit]"))
            assert (
                "Workers notice within 5 s."
                in browser.find_element(By.CLASS_NAME, "messagelist").text
            )
            [(is_paused,)] = execute(
                folder,
                "SELECT is_paused FROM rele_admin_subscription WHERE name = ?",
                "gallery-photo-uploaded",
            )
            assert is_paused == (action == "Pause")
        assert "demo Resumed." in browser.find_element(By.CLASS_NAME, "rele-log").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_dead_letters_are_looked_at_and_replayed(
    browser: Chrome, site: str, folder: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server)
    letters = Letters("rele-demo")
    letters.put(b"1", b"2", error=ValueError("order 17 has no price"))
    letters.put(b"3", error=KeyError("customer-relationship-" * 9))
    execute(folder, "UPDATE rele_admin_subscription SET name = 'orders' WHERE is_paused")
    show_in(browser, "light", 390)
    browser.get(f"{site}{PAGE}orders/deadletters/")
    follow(browser, browser.find_element(By.CSS_SELECTOR, "#content input[type=submit]"))
    for scheme, width in (("light", 390), ("dark", 1280)):
        show_in(browser, scheme, width)
        see(browser, f"letters-{width}")
        assert_it_fits(browser, width)

    follow(browser, browser.find_element(By.CSS_SELECTOR, ".rele-action button"))
    see(browser, "question-replay")
    assert "ValueError: order # has no price (shop.subs.ship)" in text_of(browser, "#content")
    follow(browser, browser.find_element(By.CSS_SELECTOR, "#content input[type=submit]"))

    assert "2 dead letters replayed." in text_of(browser, ".messagelist")
    assert sorted(each.data for each in letters.pull(letters.subscription)) == [b"1", b"2"]
    letters.close()


def test_the_page_updates_itself_and_leaves_what_is_open_as_it_is(
    browser: Chrome, site: str, folder: Path
) -> None:
    show_in(browser, "light")
    browser.get(f"{site}{PAGE}")
    browser.execute_script(  # in one step, because the page changes
        "document.querySelector('.rele-failures summary').click();"
        "[...document.links].find(link => link.innerText === 'shop-orders').focus();"
    )
    execute(folder, "UPDATE rele_admin_failure SET text = 'it is new' WHERE count = 1204")

    WebDriverWait(browser, 20).until(lambda _: "it is new" in text_of(browser, ".rele-failures"))

    assert "KeyError: 'umbrella'" in text_of(browser, "details[open] .rele-text")
    assert browser.execute_script("return document.activeElement.innerText;") == "shop-orders"


def test_a_page_that_cannot_update_itself_says_so(browser: Chrome, site: str) -> None:
    show_in(browser, "light")
    browser.get(f"{site}{PAGE}")
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **conditions})
    try:
        update(browser)
        WebDriverWait(browser, 20).until(
            lambda _: "the server does not answer" in text_of(browser, ".rele-as-of")
        )
        assert "shop-orders" in text_of(browser, ".rele-table")
    finally:
        browser.execute_cdp_cmd(
            "Network.emulateNetworkConditions", {"offline": False, **conditions}
        )
    update(browser)
    WebDriverWait(browser, 20).until(lambda _: text_of(browser, "#rele-lateness") == "")


def test_who_is_logged_out_is_told_and_sees_nothing_new(browser: Chrome, site: str) -> None:
    show_in(browser, "light")
    browser.get(f"{site}{PAGE}")
    cookies = browser.get_cookies()
    try:
        browser.delete_all_cookies()
        update(browser)
        WebDriverWait(browser, 20).until(
            lambda _: "you are logged out" in text_of(browser, ".rele-as-of")
        )
    finally:
        for cookie in cookies:
            browser.add_cookie(cookie)


def test_loads_nothing_from_elsewhere(browser: Chrome, site: str) -> None:
    browser.get(f"{site}{PAGE}")

    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name);"
    )

    assert loaded
    assert {urlsplit(each).netloc for each in loaded} == {urlsplit(site).netloc}
    assert not browser.find_elements(By.CSS_SELECTOR, "#content [style], #content script")
