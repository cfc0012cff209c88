"""The durations of a relay, in seconds; tests shorten them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RelayTimes:
    """How long a relay waits for what."""

    rest: float = 10.0
    """For which a topic is left alone after a transient failure."""
    quiet: float = 1.0
    """After which a topic without any outcome gets no more messages."""
    delayed_every: float = 1.0
    """Between two looks at the delayed messages."""
    first_pause: float = 1.0
    """Before the next attempt of a refused message; it doubles each time."""
    longest_pause: float = 600.0
    locked: float = 0.05
    """Before what another transaction has locked is written again; it doubles each time."""
    longest_locked: float = 0.5
    starving: float = 0.5
    """After which a large message gets the room that it waits for before others."""

    def pause_after(self, attempts: int) -> float:
        """How long a message that was refused so often is delayed."""
        return float(min(self.first_pause * 2 ** min(attempts, 20), self.longest_pause))
