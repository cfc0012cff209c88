"""``rele deadletters`` as a process: killed, interrupted, on a terminal, with Django."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.dead_letters import QUICK, Letters
from tests.support.project import Project, read_until

SUBS = """
    from rele import sub

    @sub("orders")
    def ship(data, **attributes):
        print(f"shipped {data}", flush=True)
"""


@pytest.fixture
def letters(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Letters]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    letters = Letters(project.project_id)
    yield letters
    letters.close()


def command(*arguments: str) -> tuple[str, ...]:
    return ("-m", "rele", "deadletters", "orders", *arguments, *QUICK)


def put_many(letters: Letters, number: int) -> list[str]:
    """Dead letters, each of an ordering key of its own, so that each has a request of its own."""
    for each in range(number):
        letters.put(str(each).encode(), key=f"k-{each}", event_id=f"e-{each}")
    return [f"e-{each}" for each in range(number)]


def events_of(messages: list[object]) -> list[str]:
    return [each.attributes["event_id"] for each in messages]  # type: ignore[attr-defined]


def test_a_killed_replay_loses_no_message(project: Project, letters: Letters) -> None:
    events = put_many(letters, 300)
    process = project.start(*command("replay", "--all", "--yes"))
    read_until(process.stdout, " replayed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)

    replayed = events_of(letters.pull(letters.subscription, 1))
    assert 0 < len(replayed) < 300
    # What the killed process has leased would be delivered again after its leases.
    status, output = project.run("-m", "rele", "seek", "orders-dead-letter", "--to", "1h", "--yes")
    assert status == 0, output
    status, output = project.run(*command("replay", "--all", "--yes"))
    assert status == 0, output

    again = events_of(letters.pull(letters.subscription, 1))
    assert {*replayed, *again} == {*events}
    assert len(replayed) + len(again) < 300 + 10, "only what was under way is repeated"
    assert letters.pull(letters.dead) == []


def test_ctrl_c_ends_after_what_is_under_way(project: Project, letters: Letters) -> None:
    events = put_many(letters, 300)
    process = project.start(*command("replay", "--all", "--yes"))
    read_until(process.stdout, " replayed")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    output = process.stdout.read()

    assert process.wait(30) == 1
    summary = re.search(r"^(\d+) replayed\.\n(\d+) left as they were\.$", output, re.MULTILINE)
    assert summary, output
    assert "Traceback" not in output
    replayed = events_of(letters.pull(letters.subscription, 1))
    left = events_of(letters.pull(letters.dead, 1))
    assert (len(replayed), len(left)) == tuple(map(int, summary.groups()))
    assert {*replayed, *left} == {*events}


class Asked:
    """The command on a terminal, up to its question.

    Args:
        project: whose folder it runs in.
        arguments: of the command.
    """

    def __init__(self, project: Project, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, *command(*arguments)],
            cwd=project.folder,
            env=project.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._written = b""
        while b"[y/N]" not in self._written:
            self._written += os.read(self._ours, 65536)

    def end(self, answer: bytes = b"") -> tuple[int, str]:
        """Answer, and return the status and all that was written."""
        os.write(self._ours, answer)
        with suppress(OSError):  # the end of a terminal is an error
            while piece := os.read(self._ours, 65536):
                self._written += piece
        os.close(self._ours)
        return self.process.wait(30), self._written.decode()


def test_ctrl_c_at_the_question_changes_and_holds_nothing(
    project: Project, letters: Letters
) -> None:
    put_many(letters, 3)
    asked = Asked(project, "discard", "--all")
    asked.process.send_signal(signal.SIGINT)
    status, written = asked.end()

    assert status == 130, written
    assert "Discard 3 dead letters of orders for good?" in written
    assert "still a dead letter" in written
    assert len(letters.pull(letters.dead, 3)) == 3


@pytest.mark.parametrize(("answer", "left"), [(b"y\n", 0), (b"\n", 3)])
def test_a_terminal_asks_and_shows_a_bar(
    project: Project, letters: Letters, answer: bytes, left: int
) -> None:
    put_many(letters, 3)
    asked = Asked(project, "replay", "--all")
    assert letters.pull(letters.dead) == [], "nobody else gets what the question is about"
    status, written = asked.end(answer)

    assert status == (0 if left == 0 else 1)
    assert ("100% 3 of 3 replayed" in written) is (left == 0)
    assert ("Nothing was changed." in written) is (left == 3)
    assert len(letters.pull(letters.subscription, 3 - left)) == 3 - left
    assert len(letters.pull(letters.dead, left)) == left


def test_a_django_project_handles_them_here(project: Project, letters: Letters) -> None:
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write("INSTALLED_APPS = ['rele', 'shop']\n")
    project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    [id_, _] = letters.put(b"17", b"18", error=KeyError("price"))

    manage = ("-m", "django", "rele", "deadletters", "orders", *QUICK)
    status, listed = project.run(*manage)
    assert status == 0, listed
    assert listed.count("KeyError: 'price'") == 2
    status, output = project.run(*manage, "replay", id_, "--here", "--yes")

    assert status == 0, output
    assert "shipped 17" in output
    assert "1 handled." in output
    assert [each.data for each in letters.pull(letters.dead, 1)] == [b"18"]


def test_rele_cli_handles_them_by_the_subs_of_the_folder(
    project: Project, letters: Letters
) -> None:
    project.write("subs.py", SUBS)
    letters.put(b"17")

    status, output = project.run(*command("replay", "--all", "--here", "--yes"))

    assert status == 0, output
    assert "shipped 17" in output
    assert letters.pull(letters.dead) == []


def test_a_list_that_is_terminated_holds_nothing(project: Project, letters: Letters) -> None:
    put_many(letters, 2)
    process = project.start("-m", "rele", "deadletters", "orders", "--wait", "60")
    read_until(process.stdout, "Reading the dead letters")  # for a second
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 130
    assert len(letters.pull(letters.dead, 2)) == 2
