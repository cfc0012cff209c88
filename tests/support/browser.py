"""A headless Chromium, driven by the distribution's own driver."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


def _required(*names: str) -> str:
    """Return the path of a program that goes by one of `names`; without it the test skips."""
    for name in names:
        if path := shutil.which(name):
            return path
    reason = f"{names[0]} is not installed"
    if os.environ.get("RELE_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{reason}, and RELE_REQUIRE_BROWSER is 1")
    pytest.skip(reason)


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Run a browser that keeps what it stores in the folder `profile`."""
    options = ChromeOptions()
    options.binary_location = _required("chromium", "chromium-browser")
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    driver = Chrome(options, ChromeService(executable_path=_required("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
