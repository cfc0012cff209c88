"""Leases whose length a handler or a hook has set itself. No clock, no thread."""

from __future__ import annotations

from collections.abc import Iterable

from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.lease_calls import LEASE_LOST, Confirmed


class AskedLeases:
    """What was asked for, until Pub/Sub has answered it.

    It is sent by an extension like any other. After that the lease is renewed as always, also
    longer than was asked for.
    """

    def __init__(self) -> None:
        self._asked: dict[Delivery, Settled] = {}
        self.ended: list[Confirmed] = []
        """What was asked for and is answered; whoever takes it empties the list."""

    def ask(self, delivery: Delivery, asked: Settled) -> bool:
        """Note it; of two for the same delivery the later one counts.

        Returns:
            Whether to send it now: not while an extension is under way, which might undo it.
        """
        if delivery.settled is not None or delivery.is_lost:
            self.refuse(delivery, asked)
            return False
        self._end(delivery)
        self._asked[delivery] = asked
        return not delivery.is_being_extended

    def settled_as(self, delivery: Delivery, settled: Settled) -> Settled:
        """How ``delivery`` is settled, given what was asked for before, which ends here.

        What is dropped is redelivered when its lease ends, which is then the one asked for.
        """
        asked = self._asked.get(delivery)
        if asked is None:
            return settled
        self._end(delivery)
        return Settled("delay", asked.seconds) if settled.kind == "drop" else settled

    def refuse(self, delivery: Delivery, settled: Settled) -> None:
        """Answer what comes after another settlement, and so has no effect."""
        if settled.wants_response:
            self.ended.append(Confirmed(delivery, LEASE_LOST, settled))

    def note_lost(self, delivery: Delivery) -> None:
        """Note that the lease of ``delivery`` has ended."""
        self._end(delivery, LEASE_LOST)

    def note_answer(
        self, deliveries: Iterable[Delivery], seconds: int, error: str | None = None
    ) -> list[Delivery]:
        """Note that ``deliveries`` were extended by ``seconds``, or why they were not.

        Returns:
            Those that are still to be extended, as was asked for meanwhile.
        """
        if not self._asked:
            return []
        asked = [delivery for delivery in deliveries if delivery in self._asked]
        for delivery in asked:
            if self._asked[delivery].seconds == seconds:
                self._end(delivery, error)
        return [delivery for delivery in asked if delivery in self._asked]

    def take_due(self, deliveries: Iterable[Delivery], seconds: int) -> list[Delivery]:
        """Those of ``deliveries`` that are to be extended by ``seconds`` now."""
        due: list[Delivery] = []
        for delivery in deliveries:
            asked = self._asked.get(delivery)
            if asked is None or asked.seconds != seconds or delivery.is_being_extended:
                continue
            if delivery.settled is not None:  # together with others
                self._end(delivery)
            else:
                due.append(delivery)
        return due

    def of(self, delivery: Delivery) -> Settled:
        """What was asked for."""
        return self._asked[delivery]

    def _end(self, delivery: Delivery, error: str | None = None) -> None:
        asked = self._asked.pop(delivery, None)
        if asked is not None and asked.wants_response:
            self.ended.append(Confirmed(delivery, error, asked))
