"""Sends what waits in the outbox."""

from __future__ import annotations

import logging
import pkgutil
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from rele.backends import BaseBackend, Message
from rele.config import Config
from rele.contrib.outbox.claiming import can_share, claim
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.outcomes import run_failure_hooks, run_success_hooks
from rele.contrib.outbox.presence import Presence
from rele.contrib.outbox.waking import Alarm
from rele.engine.failures import is_passing
from rele.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

BATCH_SIZE = 1000

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=10)
"""Before the next attempt of a message, doubling from one to the other."""

_PAUSE_WITHOUT_DATABASE = 1.0
_LOOK_AT_STOP = 0.5
"""Seconds."""


class StoppedError(Exception):
    """The relay is to stop, and what it was sending has no outcome yet."""


@dataclass
class _Outcomes:
    """What became of the messages of one batch."""

    sent: list[OutboxMessage] = field(default_factory=list)
    parked: list[tuple[OutboxMessage, BaseException]] = field(default_factory=list)


class OutboxRelay:
    """Sends the waiting messages, in batches.

    Args:
        settings: the outbox's.
        backend: what it sends through.
        batch_size: how many messages it takes in hand at a time.
    """

    def __init__(
        self, settings: OutboxSettings, backend: BaseBackend, batch_size: int = BATCH_SIZE
    ) -> None:
        self._alias = settings.alias
        self._settings = settings
        self._backend = backend
        self._batch_size = batch_size
        self._stop = threading.Event()
        self._presence = Presence(self._alias)

    def stop(self) -> None:
        """Let :meth:`run` return soon; what has no outcome then is sent again by the next relay."""
        self._stop.set()

    def run(self) -> None:
        """Send what waits and what comes, until :meth:`stop`.

        Raises:
            ConfigurationError: another relay works on a database that only one can work on.
        """
        self._presence.begin(lasting=True)
        alarm = Alarm(self._alias)
        try:
            while not self._stop.is_set():
                if self._send_or_report():
                    alarm.saw_messages()
                else:
                    alarm.wait(self._stop)
        finally:
            alarm.close()
            self._presence.end()

    def run_once(self) -> int:
        """Send what is due now, and return how many messages were sent.

        Raises:
            ConfigurationError: another relay works on a database that only one can work on.
            django.db.DatabaseError: the database failed; what was sent before that stays sent.
        """
        self._presence.begin(lasting=False)
        sent = 0
        try:
            while not self._stop.is_set():
                taken, outcomes = self._send_batch()
                sent += len(outcomes.sent)
                if not taken:
                    break
        except StoppedError:
            logger.info("Stopped before Pub/Sub had answered: the last batch is sent again later.")
        finally:
            self._presence.end()
        return sent

    def _send_or_report(self) -> bool:
        """Whether there may be more to send at once."""
        try:
            taken, _ = self._send_batch()
        except StoppedError:
            logger.info("Stopped before Pub/Sub had answered: the last batch is sent again later.")
        except DatabaseError as error:
            logger.error("The outbox cannot be read or written: %s", str(error).strip())
            connections[self._alias].close()
            self._stop.wait(_PAUSE_WITHOUT_DATABASE)
        else:
            return taken > 0
        return False

    def _send_batch(self) -> tuple[int, _Outcomes]:
        """How many messages were taken in hand, and what became of them."""
        if not can_share(self._alias):  # a lock on the whole database must not wait for Pub/Sub
            messages = claim(self._alias, self._batch_size)
            outcomes = self._settle(messages, self._send(messages))
        else:
            with transaction.atomic(using=self._alias):
                messages = claim(self._alias, self._batch_size)
                outcomes = self._settle(messages, self._send(messages))
        run_success_hooks(outcomes.sent)
        run_failure_hooks(outcomes.parked)
        return len(messages), outcomes

    def _send(self, messages: Sequence[OutboxMessage]) -> list[BaseException | None]:
        """Send all, and return for each why it was not accepted, if it was not."""
        if not messages:
            return []
        futures = self._backend.send([_as_message(message) for message in messages])
        self._backend.flush(0)
        return [self._outcome_of(future) for future in futures]

    def _outcome_of(self, future: Future[str]) -> BaseException | None:
        """Wait for it without limit: the client has its own, and nothing else can be sent."""
        while True:
            try:
                return future.exception(timeout=_LOOK_AT_STOP)
            except CancelledError as error:
                return error
            except FutureTimeoutError:
                if self._stop.is_set():
                    raise StoppedError from None

    def _settle(
        self, messages: Sequence[OutboxMessage], errors: Sequence[BaseException | None]
    ) -> _Outcomes:
        """Write down what became of ``messages``."""
        outcomes = _Outcomes()
        interrupted: set[tuple[str, str]] = set()
        for message, error in zip(messages, errors, strict=True):
            key = (message.topic, message.ordering_key)
            if error is None:
                outcomes.sent.append(message)
            elif key not in interrupted:
                # Those after it of its key were only not sent: they wait for it.
                if message.ordering_key:
                    interrupted.add(key)
                if self._note_failure(message, error):
                    outcomes.parked.append((message, error))
        self._settle_sent(outcomes.sent)
        return outcomes

    def _settle_sent(self, messages: Sequence[OutboxMessage]) -> None:
        if not messages:
            return
        sent = OutboxMessage.objects.using(self._alias).filter(id__in=[m.id for m in messages])
        if self._settings.keep_sent:
            sent.update(state=State.SENT, sent_at=timezone.now(), last_error="")
        else:
            sent.delete()

    def _note_failure(self, message: OutboxMessage, error: BaseException) -> bool:
        """Let the message wait for its next attempt, or park it; return whether it is parked."""
        if not is_passing(error):
            message.attempts += 1
        if message.attempts >= self._settings.max_attempts:
            message.state = State.PARKED
            logger.error(
                "The message %s is parked after %d attempts: %s", message, message.attempts, error
            )
        pause = min(FIRST_PAUSE * 2 ** min(message.attempts, 20), LONGEST_PAUSE)
        message.next_attempt_at = timezone.now() + pause
        message.last_error = f"{type(error).__name__}: {error}"
        message.save(
            using=self._alias,
            update_fields=["attempts", "state", "next_attempt_at", "last_error"],
        )
        return message.state == State.PARKED


def _as_message(message: OutboxMessage) -> Message:
    return Message(
        topic=message.topic,
        data=bytes(message.data),
        attributes=message.attributes,
        ordering_key=message.ordering_key,
    )


def make_relay(config: Config, batch_size: int = BATCH_SIZE) -> OutboxRelay:
    """The relay that ``config`` describes.

    Raises:
        ConfigurationError: its backend cannot be made.
    """
    settings = OutboxSettings.of(config.outbox)
    try:
        backend: BaseBackend = pkgutil.resolve_name(settings.backend)(config)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"RELE['OUTBOX']['BACKEND'] = {settings.backend!r} cannot be imported: {error}"
        ) from error
    return OutboxRelay(settings, backend, batch_size)
