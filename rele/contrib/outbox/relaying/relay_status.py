"""What relays contribute to the status of their process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rele.contrib.outbox.relaying.relays import Relays
from rele.status.snapshot import Complaint, Contribution, Figure, Phase, Probe

_SHARDS = "Shards of the outbox whose messages this process sends."


def contribution_of(relays: Relays) -> Contribution:
    """How many shards each sends, and why it cannot send, which a restart does not change."""
    return Contribution(
        figures=tuple(
            Figure("rele_outbox_shards", number, _SHARDS, {"database": alias})
            for alias, number in relays.shards.items()
        ),
        complaints=tuple(Complaint(Probe.READY, "outbox", each) for each in relays.complaints),
    )


class RelayProcessStatus:
    """The status of a process that has nothing but relays.

    Args:
        relays: its relays.
        is_stopping: whether they are asked to stop.
    """

    def __init__(self, relays: Relays, is_stopping: Callable[[], bool]) -> None:
        self._relays = relays
        self._is_stopping = is_stopping
        self.has_begun = False
        """Whether the relays are running."""

    def __call__(self) -> Contribution:
        """What it contributes now, in any thread."""
        known = contribution_of(self._relays)
        phase, why = self._phase()
        if why:
            known = replace(
                known, complaints=(Complaint(Probe.READY, "relay", why), *known.complaints)
            )
        return replace(known, phase=phase)

    def _phase(self) -> tuple[Phase, str]:
        """What the process does, and why it does not send."""
        if self._is_stopping():
            return Phase.DRAINING, "It stops: it sends nothing more, and waits for outcomes."
        if not self.has_begun:
            return Phase.STARTING, "It starts: it waits for the database of the outbox."
        return Phase.SENDING, ""
