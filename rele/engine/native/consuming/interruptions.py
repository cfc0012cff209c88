"""The log lines about the streams and the messages of one subscription."""

from __future__ import annotations

import logging

from rele.engine.native.consuming.delivery import Delivery
from rele.engine.outage_reports import Outage
from rele.engine.stacks import stack_of, stack_of_coroutine
from rele.engine.stream_errors import needs_a_person, reason_of, remedy_for

logger = logging.getLogger(__name__)


class Interruption:
    """That the stream of a subscription is refused, logged once a minute, and its end.

    Args:
        name: the subscription's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._outage = Outage()
        self.is_of_interest = True
        """False once the subscription is drained."""

    def begin(self, now: float) -> None:
        """Note that Pub/Sub has refused the stream."""
        self._outage.begin(now)

    def report(self, error: BaseException, now: float, *, exists: bool = False) -> None:
        """Log ``error``, unless the interruption was logged within the last minute.

        Args:
            error: why the stream was refused.
            now: the time.
            exists: whether the subscription is there, so that nobody has to make it.
        """
        if not self.is_of_interest or not self._outage.should_report(now):
            return
        is_for_a_person = needs_a_person(error) and not exists
        remedy = remedy_for(error, self._name) if is_for_a_person else ""
        logger.log(
            logging.ERROR if is_for_a_person else logging.WARNING,
            "The stream of %s is interrupted, for %.0f s now: %s. Relé keeps restarting it.%s",
            self._name,
            self._outage.seconds(now),
            reason_of(error),
            f" {remedy}" if remedy else "",
        )

    def end(self, now: float) -> None:
        """Note that the stream is accepted; log it if the interruption was logged."""
        if self._outage.is_ongoing and (seconds := self._outage.end(now)) is not None:
            logger.info("The stream of %s is back, after %.0f s.", self._name, seconds)


def report_overdue(delivery: Delivery, name: str, seconds: float) -> None:
    """Log that a message was nacked, since it was outstanding for ``seconds``."""
    if delivery.begun_at is None:
        logger.warning(
            "The message %s of %s waited for a thread for %g s (max_lease_duration), and is "
            "redelivered. More threads or a smaller max_messages help.",
            delivery.message_id,
            name,
            seconds,
        )
        return
    logger.error(
        "The handler of %s has had the message %s for %g s (max_lease_duration) and has not "
        "returned: the message is redelivered.\n%s",
        name,
        delivery.message_id,
        seconds,
        stack_of(delivery.thread_id)
        if delivery.coroutine is None
        else stack_of_coroutine(delivery.coroutine),
    )


def report_shed(number: int, name: str) -> None:
    """Log that messages were nacked which were held behind failed ones of their ordering keys."""
    logger.warning(
        "%d message(s) of %s are nacked, which counts as a delivery attempt: half of max_messages "
        "is held behind messages of their ordering keys that fail again and again.",
        number,
        name,
    )


def report_drained(number: int, name: str) -> None:
    """Log how many messages the worker leaves to others when it stops."""
    if number:
        logger.info("%d message(s) of %s that were not begun are nacked.", number, name)
