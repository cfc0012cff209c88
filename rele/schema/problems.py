"""What is wrong with a project, as data: the system checks and the commands only render it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Its id is stable: ``rele.E…`` for what cannot work, ``rele.W…`` for what may not.
    """

    id: str
    message: str
    hint: str
    """What to write instead."""
    setting: str | None = None
    """The key of ``RELE`` that it is about, if it is about one."""

    @property
    def is_error(self) -> bool:
        """Whether nothing can work before it is mended."""
        return self.id.startswith("rele.E")

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def about(setting: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """The ``problems``, which are about that key of ``RELE``."""
    return (replace(problem, setting=setting) for problem in problems)
