"""What is wrong with a project, as data, which the system checks and the commands only render."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

_MOST_NAMES = 10
"""How many names an error lists where none is like the wrong one."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Its id does not change between versions: ``rele.E…`` is an error, ``rele.W…`` a warning; one
    that another package finds begins with the name of that package.
    """

    id: str
    message: str
    hint: str
    """How to correct it."""
    setting: str | None = None
    """The key of ``RELE`` that it concerns, if it concerns one."""

    @property
    def is_error(self) -> bool:
        """Whether it must be corrected before Relé can run."""
        return self.id.rpartition(".")[2].startswith("E")

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def about(setting: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """The ``problems``, each with ``setting`` as the key of ``RELE`` that it concerns."""
    return (replace(problem, setting=setting) for problem in problems)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question whether a known name like ``name`` was meant; else, what is known."""
    names = {each.lower(): each for each in known}
    if near := difflib.get_close_matches(name.lower(), names, n=1):
        return f"Did you mean {names[near[0]]!r}?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"The known ones are {', '.join(map(repr, sorted(names.values())[:_MOST_NAMES]))}{more}."
