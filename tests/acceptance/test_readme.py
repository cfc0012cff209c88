"""The README's first steps, taken to the letter in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import REPOSITORY, Project, read_until

README = (REPOSITORY / "README.rst").read_text(encoding="utf-8")
FIRST_STEPS = README.split("Publish, subscribe, run\n")[1].split("In a clone of")[0]

BLOCK = re.compile(r"^(.*?):?\n\n\.\. code:: (\w+)\n\n((?:    .*\n|\n)+)", re.MULTILINE)


def blocks() -> list[tuple[str, str, str]]:
    """The paragraph before each code block, the block's language, and its code."""
    return [
        (paragraph, language, re.sub("^    ", "", code, flags=re.MULTILINE).strip() + "\n")
        for paragraph, language, code in BLOCK.findall(FIRST_STEPS)
    ]


def file_named_in(paragraph: str) -> str:
    return re.findall(r"``([\w/]+\.py)``", paragraph)[-1]


def commands() -> list[str]:
    return [
        line.removeprefix("$ ")
        for _, language, code in blocks()
        if language == "console"
        for line in code.splitlines()
    ]


@pytest.fixture
def folder(project: Project) -> Project:
    (project.folder / "settings.py").unlink()
    del project.environment["PUBSUB_EMULATOR_HOST"], project.environment["PYTHONPATH"]
    project.environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    return project


def test_the_first_steps_have_fewer_than_25_lines() -> None:
    lines = [line for _, _, code in blocks() for line in code.splitlines() if line.strip()]

    assert 0 < len(lines) < 25


def test_the_first_steps_handle_a_message(folder: Project) -> None:
    start_project, start_app, emulator, worker, publish = commands()
    for command in (start_project, start_app):
        shell(folder, command)
    for paragraph, language, code in blocks():
        if language == "python":
            with (folder.folder / file_named_in(paragraph)).open("a") as file:
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


def test_the_tests_for_a_project_of_ones_own_pass(folder: Project) -> None:
    section = README.split("Testing your own project\n")[1].split("Coming from")[0]
    [(_, code)] = re.findall(r"\.\. code:: (python)\n\n((?:    .*\n|\n)+)", section)
    folder.write("test_shop.py", re.sub("^    ", "", code, flags=re.MULTILINE))

    status, output = folder.run("-m", "pytest", "-p", "no:django", "test_shop.py")

    assert status == 0, output
    assert "2 passed" in output
