"""What goes wrong while a relay runs: what is logged about it, and when it goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rele.contrib.outbox.relaying.payloads import Payload
from rele.messages.explaining import in_one_line, origin_of
from rele.runtime.own_records import log_publishing

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the next attempt to write down what the database has refused."""

Failure = tuple[Payload, BaseException]


class DatabaseFailures:
    """Reports once that the outbox's database cannot be used, and once that it can again.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._pause = 0.0
        self.text: str | None = None
        """What is wrong now; ``None``: nothing."""
        self.retries_at = 0.0
        """When to try again, in monotonic seconds."""

    def note_unavailable(self, error: BaseException, now: float) -> None:
        """The database cannot be reached."""
        self._report(
            f"The outbox in the database {self._alias!r} is unavailable: {str(error).strip()}"
        )
        self.retries_at = now + FIRST_PAUSE

    def note_refused(self, error: BaseException, unwritten: int, now: float) -> None:
        """The database can be reached, but refuses a statement.

        Args:
            error: its error.
            unwritten: how many outcomes are not written down.
            now: the time.
        """
        self._report(
            f"The database {self._alias!r} refuses a statement of the outbox, so that nothing more "
            f"is sent: {str(error).strip()} Check that it is not read-only or full, and that its "
            "user may SELECT, INSERT, UPDATE and DELETE in the tables of the outbox. It is tried "
            f"again. The relay remembers {unwritten} outcome(s) that are not written down yet."
        )
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self.retries_at = now + self._pause

    def note_success(self) -> None:
        """The database can be used."""
        if self.text is not None:
            logger.info("The outbox in the database %r is available again.", self._alias)
        self.text = None
        self._pause = 0.0

    def _report(self, text: str) -> None:
        if self.text is None:
            logger.error("%s", text)
        self.text = text


def log_refusals(failed: Sequence[Failure], parked: Sequence[Failure]) -> None:
    """Log each parked message, and the other failed ones in one line: there may be many."""
    for message, error in parked:
        if not message.is_caused_by_record:
            log_publishing(
                logger,
                logging.ERROR,
                "The message %s is parked after %d attempts: %s",
                message,
                message.attempts,
                in_one_line(error),
            )
    failed = [(message, error) for message, error in failed if not message.is_caused_by_record]
    if not failed:
        return
    message, error = failed[0]
    log_publishing(
        logger,
        logging.WARNING,
        "%d message(s) were not accepted and will be retried; the first, %s: %s",
        len(failed),
        message,
        in_one_line(error),
    )
    if (origin := origin_of(error)) is not None:
        log_publishing(logger, logging.DEBUG, "Where that came from:", exc_info=origin)
