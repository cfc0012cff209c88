"""``manage.py rele outbox --watch`` as a person sees it, on a terminal and in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from tests.support.project import Project, read_until

SETTINGS = """
    SECRET_KEY = "for tests"
    USE_TZ = True
    INSTALLED_APPS = ["rele", "rele.contrib.outbox"]
    DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {database!r}}}}}
    RELE = {{
        "GC_PROJECT_ID": "shop",
        "MIDDLEWARE": [],
        "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
    }}
"""

WATCH = ("-m", "django", "rele", "outbox", "--watch")


@pytest.fixture
def shop(project: Project) -> Project:
    database = str(project.folder / "db.sqlite3")
    project.write("settings.py", SETTINGS.format(database=database))
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    project.environment.pop("COLUMNS", None)
    project.environment.pop("NO_COLOR", None)
    project.environment["TERM"] = "xterm"
    run(project, "migrate", "--verbosity", "0")
    return project


def run(shop: Project, *command: str) -> None:
    assert shop.start("-m", "django", *command).wait(60) == 0


class Terminal:
    """One of 80 columns, on which a command runs."""

    def __init__(self, shop: Project) -> None:
        self.shown = ""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, *WATCH],
            cwd=shop.folder,
            env=shop.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def read_until(self, pattern: str) -> None:
        while not re.search(pattern, self.shown):
            self.shown += os.read(self._ours, 65536).decode().replace("\r\n", "\n")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        os.close(self._ours)


@pytest.fixture
def terminal(shop: Project) -> Iterator[Terminal]:
    terminal = Terminal(shop)
    yield terminal
    terminal.close()


def test_what_is_shown_on_a_terminal_follows_the_outbox_until_ctrl_c(
    shop: Project, terminal: Terminal
) -> None:
    terminal.read_until("The outbox is empty")

    run(shop, "rele", "publish", "orders", "1")

    terminal.read_until(r"waiting  orders +1 ")
    assert terminal.shown.count("\033[H") >= 2, "the second frame is drawn over the first"
    assert "\033[1mState" in terminal.shown
    lines = re.sub("\033\\[[0-9]*[A-Za-z]", "", terminal.shown).splitlines()
    assert max(map(len, lines)) <= 80
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(20) == 0
    assert "Traceback" not in terminal.shown


def test_a_database_that_fails_meanwhile_is_shown_and_waited_for(
    shop: Project, terminal: Terminal
) -> None:
    terminal.read_until("The outbox is empty")
    path, elsewhere = shop.folder / "db.sqlite3", shop.folder / "elsewhere"
    path.rename(elsewhere)
    path.mkdir()

    terminal.read_until("The outbox cannot be used: unable to open database file")

    path.rmdir()
    elsewhere.rename(path)
    terminal.shown = ""
    terminal.read_until("The outbox is empty")
    assert terminal.process.poll() is None


def test_in_a_pipe_it_is_plain(shop: Project) -> None:
    process = shop.start(*WATCH)

    shown = read_until(process.stdout, "No relay is running")
    shown += read_until(process.stdout, "No relay is running")

    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "\033" not in shown
    assert shown.count("The outbox is empty.") == 2
