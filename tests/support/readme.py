"""The README's sections and code blocks, for the tests that follow it to the letter."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.rst").read_text(encoding="utf-8")

FIRST_STEPS = "Quickstart"

_BLOCK = re.compile(r"((?:^.+\n)+)\n\.\. code:: (\w+)\n\n((?:    .*\n|\n)+)", re.MULTILINE)


def section(title: str) -> str:
    """The text of a section, up to the next title of the same rank."""
    heading = re.search(rf"^{re.escape(title)}\n(=|-)\1+\n", README, re.MULTILINE)
    assert heading, f"the README has no section {title!r}"
    underline = re.escape(heading[1])
    return re.split(rf"\n[^\n]+\n{underline}{{4,}}\n\n", README[heading.end() :])[0]


def blocks_of(text: str) -> list[tuple[str, str, str]]:
    """The paragraph before each code block of a text, the block's language, and its code."""
    return [
        (paragraph, language, textwrap.dedent(code).strip() + "\n")
        for paragraph, language, code in _BLOCK.findall(text)
    ]


def commands_of(text: str) -> list[str]:
    """The shell commands of a text, without their prompts."""
    return [
        line.removeprefix("$ ")
        for _, language, code in blocks_of(text)
        if language == "console"
        for line in code.splitlines()
    ]


def files_of(text: str) -> list[tuple[str, str]]:
    """The files that a text says to write or to extend: each name, and the code to add."""
    return [
        (re.findall(r"``([\w/]+\.py)``", paragraph)[-1], code)
        for paragraph, language, code in blocks_of(text)
        if language == "python"
    ]


def blocks(title: str) -> list[tuple[str, str, str]]:
    return blocks_of(section(title))


def commands(title: str) -> list[str]:
    return commands_of(section(title))


def files(title: str) -> list[tuple[str, str]]:
    return files_of(section(title))
