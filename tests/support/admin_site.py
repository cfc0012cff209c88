"""The test project's web server with its admin, and a browser that has logged in."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import chromium
from tests.support.polling import wait_until
from tests.support.project import REPOSITORY
from tests.support.servers import free_port

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


@contextmanager
def running_site(folder: Path, *programs: str, **variables: str) -> Iterator[str]:
    """The address of the admin of the test project, on a database in ``folder``.

    Args:
        folder: an empty one.
        programs: Python code that fills the database.
        variables: of its environment.
    """
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "DEBUG": "true",
        "DEMO_PASSWORD": "secret",
        **variables,
    }

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *arguments], cwd=REPOSITORY, env=environment)

    filling = [("-c", program) for program in programs]
    for arguments in (("manage.py", "migrate", "-v0"), ("manage.py", "demouser"), *filling):
        assert start(*arguments).wait(60) == 0
    port = free_port()
    server = start("manage.py", "runserver", "--noreload", f"127.0.0.1:{port}")
    try:
        yield f"http://127.0.0.1:{port}/admin/"
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def logged_in_browser(site: str, profile: Path) -> Iterator[Chrome]:
    """A browser whose user has logged in to the admin at ``site``."""
    with chromium(profile) as driver:
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


def show_in(browser: Chrome, scheme: str, width: int = 1280, height: int = 900) -> None:
    """Let pages be light or dark, and so wide."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 768}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def follow(browser: Chrome, element: WebElement) -> None:
    """Click on a link or a button, and wait for the page that follows."""
    page = browser.find_element(By.TAG_NAME, "html")
    element.click()
    # Between two pages the driver may have an error of its own about the old one.
    patience = WebDriverWait(browser, 30, ignored_exceptions=[WebDriverException])
    patience.until(staleness_of(page))
    patience.until(lambda _: browser.execute_script("return document.readyState") == "complete")


def see(browser: Chrome, name: str) -> None:
    """Keep a picture of the whole page for a person, where one asks for it."""
    if folder := os.environ.get("RELE_PICTURES"):
        picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


def assert_it_is_readable(browser: Chrome, selector: str) -> None:
    """Each matching text has the contrast that people need."""
    contrasts = browser.execute_script(COLOURS, selector)
    assert contrasts
    assert min(contrasts) >= 4.5, contrasts
