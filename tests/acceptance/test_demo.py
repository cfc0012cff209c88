"""The demo, from its start to Ctrl-C, with a person's eyes and hands."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from selenium.common import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import chromium
from tests.support.demo import RunningDemo, is_running

ADDRESS = r"The gallery is at (http://127\.0\.0\.1:\d+/)"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    with RunningDemo(tmp_path) as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path / "profile") as driver:
        yield driver


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of twelve megapixels, taken with the phone held upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "A walk in the park.JPG"
    noise = Image.effect_noise((1008, 756), 90).resize((4032, 3024))
    Image.merge("RGB", [noise, noise.rotate(180), noise]).save(path, "JPEG", exif=exif)
    return path


def upload(browser: Chrome, path: Path) -> None:
    browser.find_element(By.NAME, "photo").send_keys(str(path))
    browser.find_element(By.TAG_NAME, "button").click()


def text_of(browser: Chrome, selector: str) -> str:
    """Return the text of the elements that match; in one step, because the page changes."""
    text: str = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(found => found.innerText).join();",
        selector,
    )
    return text


def thumbnail_sizes(browser: Chrome) -> list[list[int]]:
    """Return the sizes of the thumbnails on the page whose pictures have been loaded."""
    sizes: list[list[int]] = browser.execute_script(
        "return [...document.querySelectorAll('.photos img')].filter(image => image.naturalWidth)"
        ".map(image => [image.naturalWidth, image.naturalHeight]);"
    )
    return sizes


def seconds_to_thumbnail(browser: Chrome, patience: WebDriverWait, path: Path) -> float:
    """Upload a photo, and wait until the page shows one thumbnail more."""
    before = len(thumbnail_sizes(browser))
    started = time.monotonic()
    upload(browser, path)
    patience.until(lambda _: len(thumbnail_sizes(browser)) == before + 1)
    return time.monotonic() - started


def assert_it_ended_cleanly(demo: RunningDemo, children: dict[int, str]) -> None:
    """Look for everything that Ctrl-C must not leave behind."""
    assert demo.wait_for_end() == 0, demo.output
    assert "Traceback" not in demo.output
    assert [command for pid, command in children.items() if is_running(pid)] == []


def test_a_photo_is_handled_the_admin_shows_it_and_ctrl_c_leaves_nothing_behind(
    demo, browser, photo, tmp_path
):
    entry = demo.wait_for(r"(http://127\.0\.0\.1:\d+/admin/ - user demo, password \S+)")
    browser.get(demo.wait_for(ADDRESS))
    children = demo.children()
    assert len(children) == 3, children
    patience = WebDriverWait(
        browser, 20, poll_frequency=0.05, ignored_exceptions=[WebDriverException]
    )

    # The best of three, because a machine that is busy with something else says nothing.
    assert min(seconds_to_thumbnail(browser, patience, photo) for _ in range(3)) < 2
    assert thumbnail_sizes(browser) == [[480, 640]] * 3
    patience.until(lambda _: "A walk in the park.JPG joined" in text_of(browser, ".activity"))
    assert "3024 \N{MULTIPLICATION SIGN} 4032" in text_of(browser, ".photos")
    patience.until(
        lambda _: "handled by gallery-photo-processed-activity" in text_of(browser, ".events")
    )

    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear friend,")
    upload(browser, letter)

    patience.until(lambda _: "letter.jpg: This is not" in text_of(browser, "[role=alert]"))

    torn = tmp_path / "torn.jpg"
    torn.write_bytes(photo.read_bytes()[:300_000])
    upload(browser, torn)

    patience.until(lambda _: "damaged" in text_of(browser, ".photos .failed"))

    visit_the_admin(browser, *entry.split(" - user demo, password "))

    demo.press_ctrl_c()
    assert_it_ended_cleanly(demo, children)


def visit_the_admin(browser: Chrome, address: str, password: str) -> None:
    """Log in as the user whom the demo names, and look at what has become of the photos."""
    patience = WebDriverWait(browser, 20, ignored_exceptions=[WebDriverException])
    browser.get(address)
    browser.find_element(By.NAME, "username").send_keys("demo")
    browser.find_element(By.NAME, "password").send_keys(password, Keys.ENTER)
    patience.until(lambda _: "outbox" in text_of(browser, "#content").lower())

    browser.get(f"{address}rele_admin/subscription/")
    patience.until(lambda _: "consuming" in text_of(browser, ".rele-state"))
    browser.get(f"{address}rele_outbox/outboxmessage/")
    assert "photo-processed" in text_of(browser, "#result_list .field-message")
    browser.get(f"{address}rele_inbox/inboxmessage/")
    assert "gallery" in text_of(browser, "#result_list .field-subscription")


@pytest.mark.parametrize(
    "line",
    [
        "(Starting the demo)",
        r"(worker \| Configuring)",
        pytest.param(ADDRESS, marks=pytest.mark.slow),  # as the first test does
    ],
)
def test_ctrl_c_ends_it_at_any_time(demo, line):
    demo.wait_for(line)
    children = demo.children()

    demo.press_ctrl_c()

    assert_it_ended_cleanly(demo, children)


@pytest.mark.slow
def test_sigterm_ends_it_too(demo):
    demo.wait_for(ADDRESS)
    children = demo.children()

    demo.process.terminate()

    assert_it_ended_cleanly(demo, children)


@pytest.mark.parametrize(
    ("command", "name"),
    [pytest.param("runserver", "web", marks=pytest.mark.slow), ("runrele", "worker")],
)
def test_where_a_server_ends_by_itself_the_demo_says_which_and_ends(demo, command, name):
    demo.wait_for(ADDRESS)
    children = demo.children()
    [victim] = [pid for pid, arguments in children.items() if command in arguments]

    os.kill(victim, signal.SIGKILL)

    assert demo.wait_for_end() == 1
    assert f"{name} ended with status -9" in demo.output
    assert [pid for pid in children if is_running(pid)] == []


def test_a_database_that_cannot_be_opened_is_shown(tmp_path):
    with RunningDemo(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/gallery") as demo:
        assert demo.wait_for_end() == 1

    assert "migrate ended with status 1:" in demo.output
    assert "unable to open database file" in demo.output
