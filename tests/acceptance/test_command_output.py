"""What commands print for people: on a terminal, into a pipe, and where nothing can be printed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.project import Project, read_until

SUBS = """
    from rele import RetryPolicy, sub

    def is_from_a_country_that_is_served(attributes): ...
    def is_neither_a_test_nor_a_draft(attributes): ...

    @sub("orders", suffix="invoice", retry_policy=RetryPolicy(10, 600), labels={"team": "shop"},
         filter_by=[is_from_a_country_that_is_served, is_neither_a_test_nor_a_draft])
    def invoice(data, **attributes): ...
"""

LIST = ("-m", "django", "showsubscriptions")
STATUS = ("-m", "rele", "emulator", "--status")

needs_dev_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)


@pytest.fixture
def django(project: Project) -> Project:
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write("INSTALLED_APPS = ['rele', 'shop']\n")
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    project.environment.pop("NO_COLOR", None)
    # As on a person's machine: what is printed is buffered.
    del project.environment["PYTHONUNBUFFERED"]
    return project


def run(project: Project, arguments: Sequence[str], stdout: int) -> tuple[int, str]:
    """The status and the errors of a Python process with that standard output."""
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder,
        env=project.environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return process.returncode, process.stderr


def on_a_terminal(project: Project, arguments: Sequence[str], columns: int = 80) -> str:
    """What a Python process writes to a terminal of so many columns."""
    project.environment.pop("COLUMNS", None)
    project.environment["TERM"] = "xterm"
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=project.folder,
        env=project.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the end of a terminal is an error
        while piece := os.read(ours, 65536):
            written += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0, written
    return written.decode().replace("\r\n", "\n")


def without_colour(text: str) -> str:
    return re.sub(r"\033\[\d+m", "", text)


@needs_dev_full
@pytest.mark.parametrize(
    "arguments",
    [LIST, (*LIST, "--verbose"), (*LIST, "--format", "json"), (*LIST, "--diff"), STATUS],
    ids=" ".join,
)
def test_a_result_that_cannot_be_printed_is_an_error(
    django: Project, arguments: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("w") as full:
        status, errors = run(django, arguments, full.fileno())

    assert status == 1
    assert errors.splitlines()[-1].endswith(
        "Error: The output could not be written: No space left on device."
    )


@pytest.mark.parametrize("arguments", [LIST, STATUS], ids=" ".join)
def test_a_pipe_that_nobody_reads_ends_it_quietly(
    django: Project, arguments: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    status, errors = run(django, arguments, writing)

    os.close(writing)
    assert (status, errors) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("arguments", [(*LIST, "--verbose"), STATUS], ids=" ".join)
def test_a_terminal_of_80_columns_shows_blocks_in_colour(
    django: Project, arguments: tuple[str, ...]
) -> None:
    assert django.run(*LIST, "--apply")[0] == 0

    written = on_a_terminal(django, arguments)

    assert "\033[1m" in written
    plain = without_colour(written)
    assert max(map(len, plain.splitlines())) <= 80
    assert re.search(r"^\S*orders-invoice\n  Topic +orders\n", plain, re.MULTILINE)


LONG_NAMES = """
    @sub("orders-of-wholesale-customers", suffix="mail-to-the-department")
    def mail_to_the_department(data, **attributes): ...
"""


def test_a_table_fits_a_terminal_of_80_columns_and_is_whole_elsewhere(django: Project) -> None:
    django.write("shop/subs.py", dedent(SUBS) + dedent(LONG_NAMES))

    written = without_colour(on_a_terminal(django, LIST))

    table, note = written.rstrip("\n").rsplit("\n", 1)
    assert max(map(len, table.splitlines())) <= 80
    assert re.search("…[a-z-]*-to-the-department  mail_to_the_department$", table)
    assert note == "Names are cut to fit the terminal: --verbose shows them whole."
    assert "  orders-of-wholesale-customers-mail-to-the-department  " in django.run(*LIST)[1]


@pytest.mark.parametrize("arguments", [(*LIST, "--verbose"), STATUS], ids=" ".join)
def test_no_colour_where_it_is_refused_or_piped(
    django: Project, arguments: tuple[str, ...]
) -> None:
    assert "\033" not in django.run(*arguments)[1]
    django.environment["NO_COLOR"] = "1"

    assert "\033" not in on_a_terminal(django, arguments)


@needs_dev_full
def test_a_message_whose_id_cannot_be_printed_was_published(django: Project) -> None:
    assert django.run(*LIST, "--apply")[0] == 0
    with Path("/dev/full").open("w") as full:
        status, errors = run(django, ("-m", "rele", "publish", "orders", "1"), full.fileno())

    assert status == 1
    assert re.search(r"published with the id \d+\. The output could not be written", errors)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_what_is_waited_for_is_said(django: Project, silent_server: str) -> None:
    django.environment["PUBSUB_EMULATOR_HOST"] = silent_server

    status, output = django.run(*STATUS)

    assert status == 1
    waiting, error = output.splitlines()
    assert waiting == f"Waiting for the Pub/Sub server at {silent_server} ..."
    assert "No Pub/Sub server answers" in error


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("-m", "rele", "run"), "Waiting for Pub/Sub at {} to answer about topics"),
        ((*LIST, "--diff"), "Comparing the declarations with Pub/Sub ..."),
    ],
    ids=["rele-cli run", "showsubscriptions --diff"],
)
def test_a_server_that_does_not_answer_is_waited_for_by_name(
    django: Project, silent_server: str, arguments: tuple[str, ...], line: str
) -> None:
    django.environment["PUBSUB_EMULATOR_HOST"] = silent_server

    process = django.start(*arguments)

    read_until(process.stdout, line.format(silent_server))
