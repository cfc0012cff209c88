"""Sends the messages that wait in the outbox."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import Error as AnyDatabaseError
from django.db import transaction
from django.utils import timezone

from rele.backends import BaseBackend
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.exceptions import explained_errors
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.claiming import can_share, claim
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.outcomes import (
    run_failure_hooks,
    run_success_hooks,
    with_fresh_connections,
)
from rele.contrib.outbox.relaying.presence import Presence
from rele.contrib.outbox.relaying.promoting import CHUNK, promote
from rele.contrib.outbox.relaying.resting import RestingTopics
from rele.contrib.outbox.relaying.sending import Outcomes, Sender, StoppedError
from rele.contrib.outbox.waking import CommitWaiter
from rele.engine.failures import is_passing
from rele.exceptions import ConfigurationError
from rele.management.databases import close_connections
from rele.messages.explaining import in_one_line, origin_of
from rele.runtime.own_records import log_publishing
from rele.runtime.stopping import StopRequest

logger = logging.getLogger(__name__)

BATCH_SIZE = 1000

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=10)
"""The pause before the next attempt of a message, which doubles each time."""

_PAUSE_AFTER_FAILURE = 1.0
"""Seconds."""

_PROMOTION_SECONDS = 1.0
"""The interval at which it looks for scheduled messages that are due."""


@dataclass
class _Batch:
    """What became of the messages of one batch."""

    taken: int
    """How many were claimed."""
    sent: list[OutboxMessage] = field(default_factory=list)
    failed: list[tuple[OutboxMessage, BaseException]] = field(default_factory=list)

    @property
    def parked(self) -> list[tuple[OutboxMessage, BaseException]]:
        """The failed ones that will not be tried again."""
        return [failure for failure in self.failed if failure[0].state == State.PARKED]

    @property
    def tally(self) -> Tally:
        return Tally(len(self.sent), len(self.failed), len(self.parked))


@dataclass(frozen=True)
class Tally:
    """How many messages were sent, how many failed, and how many of the failed ones are parked."""

    sent: int = 0
    failed: int = 0
    parked: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.sent + other.sent, self.failed + other.failed, self.parked + other.parked)


class OutboxRelay:
    """Sends the waiting messages of one database, in batches.

    Args:
        alias: of the database.
        settings: the outbox's.
        backend: what it sends through.
        batch_size: how many messages it claims at a time.
    """

    def __init__(
        self,
        alias: str,
        settings: OutboxSettings,
        backend: BaseBackend,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._alias = alias
        self._settings = settings
        self._batch_size = batch_size
        self._stop = StopRequest()
        self._sender = Sender(backend, self._stop)
        self._resting = RestingTopics()
        self._presence = Presence(self._alias)
        self._can_reach_database = True
        self._clock = DatabaseClock(alias)
        self._promotes_at = 0.0

    @property
    def name(self) -> str:
        """Its name, as others see it."""
        return self._presence.name

    def stop(self) -> None:
        """Let :meth:`run` return soon; the next relay sends messages without an outcome again.

        May be called in a signal handler, and from any thread.
        """
        self._stop.request()

    def begin(self) -> None:
        """Show others that the relay is running; :meth:`run` does this, too.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: the database, or the file of its lock, cannot be used.
        """
        with explained_errors(self._alias):
            self._presence.begin()

    def end(self) -> None:
        """Show that the relay has ended, if :meth:`run` was not called."""
        self._presence.end()

    def run(self) -> None:
        """Send the messages that wait and those that are published later, until :meth:`stop`.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: the database cannot be used at the beginning; later, it is waited for.
        """
        self.begin()
        try:
            with closing(CommitWaiter(self._alias)) as commits:
                while not self._stop.is_requested:
                    if self._send_or_report():
                        commits.saw_messages()
                    else:
                        commits.wait(self._stop)
        finally:
            self._presence.end()

    def run_once(self) -> Tally:
        """Send the messages that are due now, and return how many were sent.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: the database cannot be used; what was sent until then is recorded.
        """
        self.begin()
        tally = Tally()
        try:
            with explained_errors(self._alias):
                while not self._stop.is_requested:
                    batch = self._send_batch()
                    tally += batch.tally
                    if not batch.taken:
                        break
        except StoppedError:
            _log_stop()
        finally:
            self._presence.end()
        return tally

    def _send_or_report(self) -> bool:
        """Whether there may be more to send at once."""
        try:
            batch = self._send_batch()
        except StoppedError:
            _log_stop()
        except AnyDatabaseError as error:
            self._report_database(error)
        except ConfigurationError:
            raise  # another relay has the lock now
        except Exception:
            logger.exception("Sending from the outbox failed; it is retried.")
            self._stop.wait(_PAUSE_AFTER_FAILURE)
        else:
            self._report_database(None)
            return batch.taken > 0
        return False

    def _report_database(self, error: BaseException | None) -> None:
        """Log once that the database is unavailable, and once that it is available again."""
        if error is None:
            if not self._can_reach_database:
                logger.info("The outbox in the database %r is available again.", self._alias)
            self._can_reach_database = True
            return
        if self._can_reach_database:
            logger.error(
                "The outbox in the database %r is unavailable: %s", self._alias, str(error).strip()
            )
        self._can_reach_database = False
        close_connections()  # also those that hooks have opened
        self._stop.wait(_PAUSE_AFTER_FAILURE)

    def _promote(self) -> None:
        """Let the scheduled messages wait that are due, once a second."""
        if time.monotonic() < self._promotes_at:
            return
        while len(promote(self._alias, self._clock.now())) == CHUNK:
            pass
        self._promotes_at = time.monotonic() + _PROMOTION_SECONDS

    def _send_batch(self) -> _Batch:
        self._presence.confirm()
        self._promote()
        # A transaction that locks the whole database must not last until Pub/Sub answers.
        is_shared = can_share(self._alias)
        with transaction.atomic(using=self._alias) if is_shared else nullcontext():
            messages = claim(self._alias, self._batch_size, self._resting.at(time.monotonic()))
            outcomes = self._sender.send(messages)
            with transaction.atomic(using=self._alias, savepoint=False):
                batch = self._settle(_Batch(len(messages)), outcomes)
        with with_fresh_connections(self._alias):
            run_success_hooks(batch.sent)
            run_failure_hooks(batch.parked)
        return batch

    def _settle(self, batch: _Batch, outcomes: Outcomes) -> _Batch:
        """Record the outcomes in the database."""
        interrupted: set[tuple[str, str]] = set()
        for message, error in outcomes:
            key = (message.topic, message.ordering_key)
            if error is None:
                batch.sent.append(message)
            elif key not in interrupted:
                # The later messages of its key were not sent, and wait for it.
                if message.ordering_key:
                    interrupted.add(key)
                self._note_failure(message, error)
                batch.failed.append((message, error))
        self._settle_sent(batch.sent)
        failures = [(message.topic, error) for message, error in batch.failed]
        self._resting.note_failures(failures, time.monotonic())
        _log_failures(batch.failed)
        return batch

    def _settle_sent(self, messages: Sequence[OutboxMessage]) -> None:
        if not messages:
            return
        sent = OutboxMessage.objects.using(self._alias).filter(id__in=[m.id for m in messages])
        if self._settings.keep_sent:
            sent.update(state=State.SENT, sent_at=timezone.now(), last_error="")
        else:
            sent.delete()

    def _note_failure(self, message: OutboxMessage, error: BaseException) -> None:
        """Schedule the next attempt of the message, or park it."""
        if not is_passing(error):
            message.attempts += 1
        if message.attempts >= self._settings.max_attempts:
            message.state = State.PARKED
        pause = min(FIRST_PAUSE * 2 ** min(message.attempts, 20), LONGEST_PAUSE)
        # Not by save(): if nothing is locked, somebody may have discarded the message since.
        OutboxMessage.objects.using(self._alias).filter(id=message.id).update(
            attempts=message.attempts,
            state=message.state,
            next_attempt_at=timezone.now() + pause,
            last_error=in_one_line(error),
        )


def _log_stop() -> None:
    logger.info("Stopped before Pub/Sub has answered: the last batch will be sent again.")


def _log_failures(failures: Iterable[tuple[OutboxMessage, BaseException]]) -> None:
    """Log each parked message, and the others in one line, since there may be many."""
    passing = []
    for message, error in failures:
        if message.is_caused_by_record:
            continue
        if message.state == State.PARKED:
            log_publishing(
                logger,
                logging.ERROR,
                "The message %s is parked after %d attempts: %s",
                message,
                message.attempts,
                in_one_line(error),
            )
        else:
            passing.append((message, error))
    if passing:
        message, error = passing[0]
        log_publishing(
            logger,
            logging.WARNING,
            "%d message(s) were not accepted and will be retried; the first, %s: %s",
            len(passing),
            message,
            in_one_line(error),
        )
        if (origin := origin_of(error)) is not None:
            log_publishing(
                logger,
                logging.DEBUG,
                "Where that came from:",
                exc_info=origin,
            )
