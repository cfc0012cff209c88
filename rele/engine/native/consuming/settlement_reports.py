"""The log lines about the acknowledgements and leases of one subscription."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.lease_calls import Call
from rele.engine.outage_reports import Outage, in_a_line

logger = logging.getLogger(__name__)

_REPORTED_AFTER = 2.0
"""Seconds for which calls must have failed: a single one that fails at once is sent again."""


class SettlementReports:
    """That acknowledgements and extensions do not get through, and that leases were lost.

    Each is logged once a minute at most. All times are seconds of one clock.

    Args:
        name: the subscription's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._failing = Outage()
        self._losing = Outage()
        self._lost = 0
        """Messages whose handlers had begun, since the last line."""

    def note_end(self, call: Call, error: str | None, now: float, *, is_unavailable: bool) -> None:
        """Note the end of a call.

        Args:
            call: the call.
            error: why it has failed, and will be repeated; ``None`` if it had an answer.
            now: the time.
            is_unavailable: whether it is logged already that Pub/Sub is unavailable.
        """
        if error is None:
            self._end(now)
            return
        self._failing.begin(call.sent_at)
        seconds = self._failing.seconds(now)
        if is_unavailable or seconds < _REPORTED_AFTER or not self._failing.should_report(now):
            return
        logger.warning(
            "Acknowledgements and extensions of %s do not get through, for %.0f s now: %s. Relé "
            "keeps sending them while the leases last; after that Pub/Sub redelivers the messages.",
            self._name,
            seconds,
            in_a_line(error),
        )

    def _end(self, now: float) -> None:
        if self._failing.is_ongoing and (seconds := self._failing.end(now)) is not None:
            logger.info(
                "Acknowledgements and extensions of %s get through again, after %.0f s.",
                self._name,
                seconds,
            )

    def note_lost(self, deliveries: Sequence[Delivery], now: float) -> None:
        """Note that leases were lost before Pub/Sub knew how the messages were settled."""
        for delivery in deliveries:
            logger.debug("The lease of the message %s was lost.", delivery.message_id)
        self._lost += sum(delivery.begun_at is not None for delivery in deliveries)
        if self._lost and self._losing.should_report(now):
            logger.warning(
                "%d message(s) of %s may be handled again: their leases were lost after their "
                "handlers had begun (an outage, a Seek, or a worker that was too busy).",
                self._lost,
                self._name,
            )
            self._lost = 0
