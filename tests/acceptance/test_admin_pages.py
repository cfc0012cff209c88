"""The pages of the outbox and the inbox in the admin, in a browser 1280 px wide."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.support.admin_site import (
    assert_it_is_readable,
    follow,
    logged_in_browser,
    running_site,
    see,
    show_in,
)

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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the admin of the test project's web server."""
    with running_site(tmp_path_factory.mktemp("site"), FILL) as address:
        yield address


@pytest.fixture(scope="module")
def browser(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with logged_in_browser(site, tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, browser: Chrome) -> str:
    show_in(browser, request.param)
    return str(request.param)


def assert_it_fits(browser: Chrome) -> None:
    page, beyond_the_list = browser.execute_script(
        "const list = document.querySelector('.results') || document.querySelector('#content');"
        "return [document.documentElement.scrollWidth, list.scrollWidth - list.clientWidth];"
    )
    assert page <= 1280
    assert beyond_the_list == 0


def test_the_list_of_messages_fits(browser: Chrome, site: str, scheme: str) -> None:
    browser.get(f"{site}rele_outbox/outboxmessage/")
    see(browser, f"messages-{scheme}")

    assert_it_fits(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == 50
    assert_it_is_readable(browser, ".rele-state, .rele-note, .rele-id")


def test_a_message_can_be_read(browser: Chrome, site: str, scheme: str) -> None:
    browser.get(f"{site}rele_outbox/outboxmessage/?state__exact=2")
    follow(browser, browser.find_element(By.CSS_SELECTOR, "#result_list .field-message a"))
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
    follow(browser, browser.find_element(By.NAME, "index"))
    see(browser, f"question-{scheme}")

    assert "12 messages will be deleted" in browser.find_element(By.ID, "content").text
    assert_it_fits(browser)
    follow(browser, browser.find_element(By.CLASS_NAME, "cancel-link"))
    assert len(browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == 12


def test_the_list_of_handled_messages_fits(browser: Chrome, site: str, scheme: str) -> None:
    browser.get(f"{site}rele_inbox/inboxmessage/")
    see(browser, f"inbox-{scheme}")

    assert_it_fits(browser)
