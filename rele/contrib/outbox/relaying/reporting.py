"""What a relay warns of: that Pub/Sub, another transaction or a hook keeps it waiting."""

from __future__ import annotations

import logging
import time

from rele.contrib.outbox.relaying.core import RelayCore
from rele.runtime.own_records import log_publishing

logger = logging.getLogger(__name__)

_WARNING_AFTER = 2.0
"""Seconds without an outcome, or with a locked row, after which a warning is logged."""


class WaitReports:
    """Warns once that outcomes do not arrive, or cannot be written down.

    Args:
        alias: of the outbox's database.
        core: knows what is waited for.
    """

    def __init__(self, alias: str, core: RelayCore) -> None:
        self._alias = alias
        self._core = core
        self._has_warned_of_quiet = False
        self._has_warned_of_locks = False

    def note_outcome(self) -> None:
        """Pub/Sub has answered."""
        self._has_warned_of_quiet = False

    def check(self, now: float) -> None:
        """Warn of what has been waited for too long."""
        quiet = self._core.quiet_for(now)
        if quiet >= _WARNING_AFTER and not self._has_warned_of_quiet:
            self._has_warned_of_quiet = True
            log_publishing(
                logger,
                logging.WARNING,
                "Waiting for Pub/Sub, which has not accepted a batch for %.0f s.",
                quiet,
            )
        locked = self._core.locked_for(now)
        if locked >= _WARNING_AFTER and not self._has_warned_of_locks:
            logger.warning(
                "The outcomes of %d message(s) cannot be written to the outbox in %r: other "
                "transactions have locked their rows for %.0f s. Later messages of their ordering "
                "keys wait until these transactions end; all others are sent.",
                self._core.locked,
                self._alias,
                locked,
            )
        self._has_warned_of_locks = locked >= _WARNING_AFTER

    def note_end(self) -> None:
        """Say what the next relay sends again."""
        if self._core.outstanding:
            logger.info(
                "Stopped before Pub/Sub has answered: %d message(s) will be sent again.",
                self._core.outstanding,
            )
        if self._core.locked:
            logger.warning(
                "Stopped while other transactions lock rows of the outbox in %r: %d message(s) "
                "whose outcomes could not be written will be sent again.",
                self._alias,
                self._core.locked,
            )


class LeaseWatch:
    """Warns of what has kept the relay's thread for so long that its leases may have ended.

    Args:
        alias: of the outbox's database.
        lease: seconds that a lease lasts; ``None``: there are none.
    """

    def __init__(self, alias: str, lease: float | None) -> None:
        self._alias = alias
        self._lease = lease
        self._began = 0.0

    def begin(self) -> None:
        """Foreign code is called now."""
        self._began = time.monotonic()

    def note_end(self, what: str) -> None:
        """It has returned, and may be called again now."""
        now = time.monotonic()
        took, self._began = now - self._began, now
        # It was renewed before, but not at the last moment.
        if self._lease is not None and took >= self._lease / 2:
            logger.warning(
                "%s has kept the relay of the outbox in %r from renewing its leases for %.1f s. "
                "When a lease has ended, after %g s (RELE['OUTBOX']['LEASE']), another relay "
                "takes over, and sends again what this one has not written down.",
                what,
                self._alias,
                took,
                self._lease,
            )
