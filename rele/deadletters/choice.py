"""Which of the dead letters are meant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rele.deadletters.letter import Letter


@dataclass(frozen=True)
class Choice:
    """The letters that are as all of these say."""

    ids: frozenset[str] = frozenset()
    """Message ids; empty: any."""
    error: str = ""
    """A text in the class or in the first line of the error, whatever the case."""
    handler: str = ""
    """A text in the dotted path of the handler, whatever the case."""
    older_than: timedelta | None = None
    """The least time since the letter was published to the dead-letter topic."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is said."""
        return self == Choice()

    def includes(self, letter: Letter, now: datetime) -> bool:
        """Whether ``letter`` is meant, at the time ``now``."""
        if self.ids and letter.message_id not in self.ids:
            return False
        if self.older_than is not None and now - letter.dead_since < self.older_than:
            return False
        return _is_in(self.error, letter.error_text) and _is_in(self.handler, letter.handler or "")


def _is_in(part: str, text: str) -> bool:
    return part.casefold() in text.casefold()
