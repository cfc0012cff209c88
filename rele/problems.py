"""What is wrong with a project, as data: the system checks and the commands only render it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Its id is stable: ``rele.E…`` for what cannot work, ``rele.W…`` for what may not.
    """

    id: str
    message: str
    hint: str
    """What to write instead."""

    @property
    def is_error(self) -> bool:
        """Whether nothing can work before it is mended."""
        return self.id.startswith("rele.E")

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
