"""What became of the dead letters that something was done with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rele.deadletters.letter import Letter
from rele.exceptions import ResourceError


@dataclass
class Outcome:
    """Counts of letters."""

    done: int = 0
    """They are dead letters no more."""
    unconfirmed: int = 0
    """They were published or handled, but the ack in the dead-letter subscription is uncertain."""
    failures: Counter[str] = field(default_factory=Counter)
    """Those that stay, by the reason."""
    left: int = 0
    """Those that stay because a stop was requested, or because of the error."""
    error: ResourceError | None = None
    """Pub/Sub refused a request, or did not answer: nothing further was tried."""

    @property
    def is_complete(self) -> bool:
        """Whether all are dead letters no more."""
        return not (self.unconfirmed or self.failures or self.left or self.error)

    def fail(self, letters: Sequence[Letter], reason: str) -> None:
        """Count letters that stay because of ``reason``."""
        self.failures[reason] += len(letters)

    def add(self, other: Outcome) -> None:
        """Add the counts of ``other``."""
        self.done += other.done
        self.unconfirmed += other.unconfirmed
        self.failures += other.failures
        self.left += other.left
        self.error = self.error or other.error
