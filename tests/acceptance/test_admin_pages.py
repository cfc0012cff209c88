"""The pages of the outbox and the inbox in the admin, in a browser 1280 px wide."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import chromium
from tests.support.polling import wait_until
from tests.support.project import REPOSITORY
from tests.support.servers import free_port

FILL = """
import django
django.setup()
import datetime, json
from django.utils import timezone
from rele.contrib.inbox.models import InboxMessage
from rele.contrib.outbox.models import OutboxMessage, State

now = timezone.now()
error = "PermissionDenied: 403 User not authorized to perform this action. " * 4
long = "projects/a-company-with-a-long-name/topics/" + "customer-relationship-" * 9
OutboxMessage.objects.bulk_create(
    OutboxMessage(
        event_id=f"01900000-0000-7000-8000-{number:012}",
        topic=[long, "order-paid"][number % 2],
        ordering_key=["", "customer-7", "k" * 300][number % 3],
        data=json.dumps({"id": number, "names": ["Zoë", "李"], "note": "x" * 400}).encode(),
        attributes={"event_id": str(number), "country": "ES"},
        state=State(number % 5),
        attempts=[0, 0, 20, 3, 0][number % 5],
        last_error=["", "", error, error, ""][number % 5],
        next_attempt_at=now + datetime.timedelta(minutes=5),
    )
    for number in range(60)
)
for number in range(3):
    InboxMessage.objects.create(subscription="gallery-" + long[:200], event_id=str(number) * 500)
"""

COLOURS = """
const luminance = ([red, green, blue]) => {
    const linear = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const part = value => linear(value / 255);
    return 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
};
const rgb = colour => colour.match(/[0-9.]+/g).map(Number);
return [...document.querySelectorAll(arguments[0])].map(found => {
    const style = getComputedStyle(found);
    let behind = found;
    while (rgb(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const both = [rgb(style.color), rgb(getComputedStyle(behind).backgroundColor)].map(luminance);
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
});
"""
"""The contrast of the text of each matching element with what is behind it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the test project's web server."""
    folder = tmp_path_factory.mktemp("site")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "DEBUG": "true",
        "DEMO_PASSWORD": "secret",
    }

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *arguments], cwd=REPOSITORY, env=environment)

    for arguments in (("manage.py", "migrate", "-v0"), ("manage.py", "demouser"), ("-c", FILL)):
        assert start(*arguments).wait(60) == 0
    port = free_port()
    server = start("manage.py", "runserver", "--noreload", f"127.0.0.1:{port}")
    try:
        yield f"http://127.0.0.1:{port}/admin/"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser whose user has logged in."""
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        wait_until(lambda: _answers(driver, site), 30)
        driver.find_element(By.NAME, "username").send_keys("demo")
        driver.find_element(By.NAME, "password").send_keys("secret", Keys.ENTER)
        WebDriverWait(driver, 20).until(lambda _: driver.find_elements(By.ID, "user-tools"))
        yield driver


def _answers(driver: Chrome, site: str) -> bool:
    try:
        driver.get(site)
    except Exception:  # noqa: BLE001 - the browser's, while nobody listens
        return False
    return bool(driver.find_elements(By.NAME, "username"))


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, browser: Chrome) -> str:
    feature = {"name": "prefers-color-scheme", "value": request.param}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    metrics = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return str(request.param)


def see(browser: Chrome, name: str) -> None:
    """Keep a picture of the page for a person, where one asks for it."""
    if folder := os.environ.get("RELE_PICTURES"):
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def assert_it_fits(browser: Chrome) -> None:
    page, beyond_the_list = browser.execute_script(
        "const list = document.querySelector('.results') || document.querySelector('#content');"
        "return [document.documentElement.scrollWidth, list.scrollWidth - list.clientWidth];"
    )
    assert page <= 1280
    assert beyond_the_list == 0


def assert_it_is_readable(browser: Chrome, selector: str) -> None:
    contrasts = browser.execute_script(COLOURS, selector)
    assert contrasts
    assert min(contrasts) >= 4.5, contrasts


def test_the_list_of_messages_fits(browser: Chrome, site: str, scheme: str) -> None:
    browser.get(f"{site}rele_outbox/outboxmessage/")
    see(browser, f"messages-{scheme}")

    assert_it_fits(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == 50
    assert_it_is_readable(browser, ".rele-state, .rele-note, .rele-id")


def test_a_message_can_be_read(browser: Chrome, site: str, scheme: str) -> None:
    browser.get(f"{site}rele_outbox/outboxmessage/?state__exact=2")
    browser.find_element(By.CSS_SELECTOR, "#result_list .field-message a").click()
    see(browser, f"message-{scheme}")

    assert_it_fits(browser)
    payload = browser.find_elements(By.CSS_SELECTOR, "pre.rele-text")[-1].text
    assert payload.startswith('{\n  "id": ')
    assert json.loads(payload)["names"] == ["Zoë", "李"]
    assert_it_is_readable(browser, ".rele-state, .rele-text")


def test_the_question_before_discarding_fits(browser: Chrome, site: str, scheme: str) -> None:
    browser.get(f"{site}rele_outbox/outboxmessage/?state__exact=2")
    browser.find_element(By.ID, "action-toggle").click()
    browser.find_element(By.CSS_SELECTOR, "option[value=discard_messages]").click()
    browser.find_element(By.NAME, "index").click()
    see(browser, f"question-{scheme}")

    assert "12 messages will be deleted" in browser.find_element(By.ID, "content").text
    assert_it_fits(browser)
    browser.find_element(By.CLASS_NAME, "cancel-link").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == 12


def test_the_list_of_handled_messages_fits(browser: Chrome, site: str, scheme: str) -> None:
    browser.get(f"{site}rele_inbox/inboxmessage/")
    see(browser, f"inbox-{scheme}")

    assert_it_fits(browser)
