"""The README's first steps, taken to the letter in an empty folder."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import docutils.core
import pytest
from django.core.management import call_command

from rele.backends import Message
from rele.cli import RUN, SHARED_COMMANDS, main
from rele.declaration.options import OPTIONS
from rele.middleware import BaseMiddleware
from rele.schema.settings import SETTINGS
from rele.testing import Delivery, deliver
from tests.support.manual_tables import ALL_SETTINGS, tables
from tests.support.project import Project, read_until
from tests.support.readme import FIRST_STEPS, README, REPOSITORY, blocks, commands, files, section


@pytest.fixture
def folder(project: Project) -> Project:
    (project.folder / "settings.py").unlink()
    del project.environment["PUBSUB_EMULATOR_HOST"], project.environment["PYTHONPATH"]
    project.environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    return project


def test_the_first_steps_have_fewer_than_25_lines() -> None:
    lines = [
        line for _, _, code in blocks(FIRST_STEPS) for line in code.splitlines() if line.strip()
    ]

    assert 0 < len(lines) < 25


def test_the_first_steps_install_version_2_and_no_earlier_one() -> None:
    installs = re.findall(r"``(pip install [^`]+)``", section(FIRST_STEPS))

    assert installs == [
        'pip install "rele[django]>=2"',
        'pip install "/path/to/clone[django]"',
    ]


def test_the_first_steps_handle_a_message(folder: Project) -> None:
    start_project, start_app, emulator, worker, publish = commands(FIRST_STEPS)
    for command in (start_project, start_app):
        shell(folder, command)
    for name, code in files(FIRST_STEPS):
        with (folder.folder / name).open("a") as file:
            file.write(code)

    server = start(folder, emulator.replace("emulator", "emulator --host-port 127.0.0.1:0"))
    address = re.findall(r"127\.0\.0\.1:\d+", read_until(server.stdout, "127.0.0.1:"))[0]
    consumer = start(folder, worker.replace("127.0.0.1:8085", address))
    read_until(consumer.stdout, "Pulling messages")
    shell(folder, publish.replace("127.0.0.1:8085", address))

    read_until(consumer.stdout, "Shipping order 42 to ES")
    for process in (consumer, server):
        process.terminate()
        assert process.wait(timeout=20) == 0


def shell(project: Project, command: str) -> None:
    subprocess.run(
        command, shell=True, check=True, cwd=project.folder, env=project.environment, timeout=60
    )


def start(project: Project, command: str) -> subprocess.Popen[str]:
    return project.start("-c", f"exec env {command}", python="sh")


CONFIGURE_DJANGO = """
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
)
django.setup()
"""


def test_the_tests_for_a_project_of_ones_own_pass(folder: Project) -> None:
    folder.write("conftest.py", CONFIGURE_DJANGO)
    folder.write("test_shop.py", code_in("Test"))

    status, output = folder.run("-m", "pytest", "-p", "no:django", "test_shop.py")

    assert status == 0, output
    assert "6 passed" in output


def code_in(title: str) -> str:
    """The section's Python, but for settings."""
    found = [code for name, code in files(title) if not name.endswith("settings.py")]
    assert found
    return "\n".join(found)


def test_the_code_on_subscription_options_declares_them() -> None:
    namespace: dict[str, Any] = {"__name__": "shop.subs"}

    exec(code_in("Subscription options"), namespace)

    stated = namespace["invoice"].options.stated()
    assert stated["dead_letter_policy"].max_delivery_attempts == 20
    assert stated["enable_exactly_once_delivery"] is True


def test_the_code_on_deciding_decides_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "shop.subs"}
    exec(code_in("Decide what happens to a message"), namespace)
    invoice = {"id": 7, "total": 10, "address": "here"}

    def send(**changes: Any) -> Delivery:
        return deliver(namespace["send_invoice"], {**invoice, **changes})

    assert send().acked
    assert capsys.readouterr().out == "7 1\n"
    assert send(total=0).acked
    assert send(bank="closed").nacked
    without_address = deliver(namespace["send_invoice"], {"id": 7, "total": 10})
    assert without_address.dead_lettered


def test_the_code_on_subscribing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "shop.subs"}

    exec(code_in("Subscribe"), namespace)

    assert namespace["declare_export"].name == "order-paid-exports"
    assert namespace["Archive"]().name == "order-paid-archive"
    assert deliver(namespace["declare_export"], {"id": 1}, country="FR").handled
    assert deliver(namespace["declare_export"], {"id": 1}, country="ES").filtered
    assert deliver(namespace["Archive"](), {"id": 1}).handled
    assert deliver(namespace["send_mail"], {"id": 1}).handled
    assert "Mail for order 1" in capsys.readouterr().out


def test_the_code_on_middleware_runs() -> None:
    namespace: dict[str, Any] = {"__name__": "shop.middleware"}

    exec(code_in("Write a middleware"), namespace)

    counter = namespace["CountFailures"]()
    counter.post_process_message_failure(None, None, 0.0, None)
    assert counter.failures == 1


def test_the_code_on_publishing_runs(
    rele_messages: list[Message], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(code_in("Publish"), {})

    assert [message.json()["id"] for message in rele_messages] == [42, 43, 44, 45]
    assert "message id 1" in capsys.readouterr().out


def test_the_contents_name_each_section_in_order() -> None:
    contents = README.partition("\nQuickstart\n=")[0]
    titles = re.findall(r"^(.+)\n={4,}\n", README, re.MULTILINE)

    links = re.findall(r"(?<!`)`([^`<]+)`_|\b([A-Z]\w+)_", contents)

    assert ["".join(link) for link in links] == titles[1:]


DOCUMENTS = sorted(
    path
    for pattern in ("*.rst", "docs/*.rst", "examples/*/*.rst")
    for path in REPOSITORY.glob(pattern)
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_each_document_renders_without_a_warning(path: Path) -> None:
    warnings = io.StringIO()

    docutils.core.publish_string(
        path.read_text(encoding="utf-8"),
        writer="html5",
        settings_overrides={"warning_stream": warnings},
    )

    assert warnings.getvalue() == ""


@pytest.mark.parametrize("path", sorted((REPOSITORY / "docs").glob("*.rst")), ids=lambda p: p.name)
def test_each_test_that_a_document_names_is_there(path: Path) -> None:
    named = re.findall(r"``(tests/[\w/]+\.py)(?:::(\w+))?``", path.read_text())

    for file, name in named:
        text = (REPOSITORY / file).read_text()
        assert f"def {name}" in text or f"class {name}:" in text, (file, name)


@pytest.mark.parametrize(
    ("document", "what_follows"),
    [
        ("guarantees", "What is not promised\n"),
        ("publishing", "The other engine\n"),
        ("consuming", "The other engine\n"),
    ],
)
def test_each_promise_names_a_test(document: str, what_follows: str) -> None:
    promises, _ = (REPOSITORY / "docs" / f"{document}.rst").read_text().split(what_follows)

    sentences = re.findall(r"^\* (?:.+\n)(?:  .+\n)*", promises, flags=re.MULTILINE)

    assert len(sentences) > 20
    assert [sentence for sentence in sentences if "``tests/" not in sentence] == []


def test_each_option_of_the_emulator_is_in_its_manual(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["emulator", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--traceback"}

    manual = (REPOSITORY / "docs" / "emulator.rst").read_text()

    assert options == set(re.findall(r"^``(--[a-z-]+)", manual, flags=re.MULTILINE))


def first_cells(title: str) -> set[str]:
    """What stands in ``literal`` quotes at the beginning of the rows of the section's table."""
    return set(re.findall(r"^``([\w.]+)``", section(title), flags=re.MULTILINE))


def test_the_table_of_settings_has_each_setting() -> None:
    assert first_cells("Settings") == set(ALL_SETTINGS)


def test_the_table_of_options_has_each_option() -> None:
    assert first_cells("Subscription options") == set(OPTIONS)


@pytest.mark.parametrize(
    ("document", "table"),
    [(document, table) for document, found in tables().items() for table in found],
)
def test_a_table_that_is_made_from_the_code_is_in_its_document(document: str, table: str) -> None:
    there = table in (REPOSITORY / document).read_text()

    assert there, (
        f"Run `python -m tests.support.manual_tables`, which writes into {document}:\n{table}"
    )


def test_the_table_of_checks_has_each_id() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "rele").rglob("*.py"))

    assert first_cells("System checks") == set(re.findall(r"\"(rele\.[EW]\d{3})\"", sources))


def test_each_hook_is_in_the_manual() -> None:
    hooks = {
        name
        for name, value in vars(BaseMiddleware).items()
        if callable(value) and not name.startswith("_")
    }

    assert hooks <= set(re.findall(r"``(\w+)\(", section("Hooks")))


def test_each_command_is_in_the_manual() -> None:
    commands = {f"rele-cli {command.name}" for command in (RUN, *SHARED_COMMANDS)}

    named = " ".join(section("Commands").split())

    assert all(f"``{command}``" in named for command in commands)


def test_each_option_of_the_outbox_is_in_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"--[a-z-]+", section("Commands")))

    for command in outbox_commands():
        with pytest.raises(SystemExit):
            call_command("rele", command, "--help")
        options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out.split("options:")[1]))
        assert f"``manage.py rele {command}``" in section("Commands")
        assert options - {"--help", "--traceback"} <= named


def outbox_commands() -> list[str]:
    from rele.contrib.outbox.room import ROOM

    return [command.name for command in ROOM.commands]


def test_what_stops_the_worker_from_outside_leaves_it_its_time() -> None:
    limits = re.findall(
        r"(?:TimeoutStopSec=|GracePeriodSeconds: |stop_grace_period: )(\d+)", section("Deployment")
    )

    assert len(limits) == 4
    assert all(int(limit) > SETTINGS["SHUTDOWN_TIMEOUT"].default for limit in limits)
