"""Sends the messages that wait in the outbox."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from django.db import Error as AnyDatabaseError
from django.db import connections

from rele.backends import BaseBackend
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.exceptions import explained_errors
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.core import RelayCore
from rele.contrib.outbox.relaying.failures import DatabaseFailures, Failure, log_refusals
from rele.contrib.outbox.relaying.feeding import Limits
from rele.contrib.outbox.relaying.outcomes import (
    run_failure_hooks,
    run_success_hooks,
    with_fresh_connections,
)
from rele.contrib.outbox.relaying.ownership import ownership_of
from rele.contrib.outbox.relaying.payload_reading import PayloadReader
from rele.contrib.outbox.relaying.payloads import Payload
from rele.contrib.outbox.relaying.promoting import Promoter
from rele.contrib.outbox.relaying.reading import Reader
from rele.contrib.outbox.relaying.reporting import LeaseWatch, WaitReports
from rele.contrib.outbox.relaying.rows import Outcomes, Requests, Row
from rele.contrib.outbox.relaying.sending import Sender
from rele.contrib.outbox.relaying.settling import Settler
from rele.contrib.outbox.relaying.times import RelayTimes
from rele.contrib.outbox.relaying.waiting import RelayWaiter
from rele.engine.failures import is_passing
from rele.exceptions import ConfigurationError
from rele.management.databases import close_connections
from rele.runtime.stopping import StopRequest

logger = logging.getLogger(__name__)

BATCH_SIZE = 1_000
BATCH_BYTES = 10_000_000

LONGEST_WAIT = 0.25
"""Seconds, while there is something that waits for room."""

_STOP_SECONDS = 1.0
"""For how long a relay that must stop waits for outcomes."""

_PAUSE_AFTER_FAILURE = 1.0  # seconds

_LOCKED_SECONDS = 0.1
"""The interval at which one that stops tries to write what another transaction has locked."""


@dataclass(frozen=True)
class Tally:
    """How many messages were sent, how many failed, and how many of the failed ones are parked."""

    sent: int = 0
    failed: int = 0
    parked: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.sent + other.sent, self.failed + other.failed, self.parked + other.parked)


class OutboxRelay:
    """Sends the waiting messages of one database.

    It has one thread and one connection, on which each statement commits by itself. What it does
    next is decided in ``core.py``.

    Args:
        alias: of the database.
        settings: the outbox's.
        backend: what it sends through.
        batch_size: how many messages of a topic may be outstanding.
        batch_bytes: how many bytes may be outstanding; one message may be larger.
        times: the durations; tests shorten them.
    """

    def __init__(
        self,
        alias: str,
        settings: OutboxSettings,
        backend: BaseBackend,
        batch_size: int = BATCH_SIZE,
        batch_bytes: int = BATCH_BYTES,
        times: RelayTimes | None = None,
    ) -> None:
        self.alias = alias
        """Of the database."""
        self._stop = StopRequest()
        self._waiter = RelayWaiter(alias)
        self._sender = Sender(backend, self._waiter.wake)
        self._clock = clock = DatabaseClock(alias)
        self._ownership = ownership_of(alias, settings.lease, clock)
        limits = Limits(batch_size, batch_bytes)
        self._core = RelayCore(limits, settings.max_attempts, is_passing, times)
        self._reader = Reader(alias, clock)
        self._payloads = PayloadReader(alias)
        self._settler = Settler(alias, clock, settings.keep_sent)
        self._promoter = Promoter(alias, clock)
        self._failures = DatabaseFailures(alias)
        self._reports = WaitReports(alias, self._core)
        is_shared = connections[alias].vendor != "sqlite"
        self._lease_watch = LeaseWatch(alias, settings.lease if is_shared else None)
        self._keeps_at = 0.0
        """When leases are renewed between two hooks, at the earliest."""
        self._messages: dict[int, Payload] = {}
        """Those that are outstanding or not written down, by id."""
        self._tally = Tally()

    @property
    def name(self) -> str:
        """Its name, as others see it."""
        return self._ownership.name

    @property
    def shards(self) -> int:
        """How many shards of the outbox are its own now."""
        return len(self._ownership.shards)

    @property
    def complaints(self) -> list[str]:
        """Why it cannot send now: of its database, and of Pub/Sub."""
        return [each for each in (self._failures.text, self._core.outage) if each is not None]

    def stop(self) -> None:
        """Let :meth:`run` return soon. What has no outcome by then is sent again by the next relay.

        May be called in a signal handler, and from any thread.
        """
        self._stop.request()
        self._waiter.wake()

    def begin(self) -> None:
        """Show others that the relay is running; :meth:`run` does this, too.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: the database, or the file of its lock, cannot be used.
        """
        with explained_errors(self.alias):
            self._ownership.begin()

    def end(self) -> None:
        """Show that the relay has ended, if :meth:`run` was not called."""
        self._ownership.end()

    def disconnect(self) -> None:
        """Close this thread's connection; :meth:`run` opens another one, in its own thread."""
        self._ownership.disconnect()

    def run(self) -> None:
        """Send the messages that wait and those that are published later, until :meth:`stop`.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: the database cannot be used at the beginning; later, it is waited for.
        """
        self.begin()
        try:
            self._waiter.open()
            while not self._stop.is_requested:
                if not self._step_or_report():
                    self._wait()
            self._finish()
        finally:
            self._waiter.close()
            self._ownership.end()

    def run_once(self) -> Tally:
        """Send the messages that are due now, and return how many were sent.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: the database cannot be used; what was sent until then is recorded.
        """
        self.begin()
        self._tally = Tally()
        try:
            self._waiter.open()
            with explained_errors(self.alias):
                # Once more, because others may have changed what an earlier run has read.
                self._core.set_shards(frozenset(), time.monotonic())
                while not self._stop.is_requested:
                    before = self._tally
                    if self._step():
                        if self._tally != before:  # hooks have run, and may have published
                            self._core.expect_more(time.monotonic())
                        continue
                    if self._core.is_finished(time.monotonic()):
                        break
                    self._wait()
                self._finish()
        finally:
            self._waiter.close()
            self._ownership.end()
        return self._tally

    def _step_or_report(self) -> bool:
        """Do what is to be done now; return whether there may be more to do at once."""
        now = time.monotonic()
        if now < self._failures.retries_at:
            return False
        try:
            has_more = self._step()
        except AnyDatabaseError as error:
            self._report(error)
        except ConfigurationError:
            raise  # another relay has the lock now
        except Exception:
            logger.exception("Sending from the outbox failed; it is retried.")
            self._failures.retries_at = time.monotonic() + _PAUSE_AFTER_FAILURE
            if not self._can_reach_database():
                self._disconnect()
        else:
            self._failures.note_success()
            return has_more
        return False

    def _report(self, error: AnyDatabaseError) -> None:
        now = time.monotonic()
        if self._can_reach_database():
            self._failures.note_refused(error, len(self._core.unwritten.accepted), now)
            return
        self._failures.note_unavailable(error, now)
        self._disconnect()

    def _disconnect(self) -> None:
        self._ownership.disconnect()
        self._waiter.forget()
        self._reader.forget()
        close_connections()  # also those that hooks have opened

    def _can_reach_database(self) -> bool:
        connection = connections[self.alias]
        try:
            return connection.connection is not None and bool(connection.is_usable())
        except Exception:  # noqa: BLE001 - of any driver
            return False

    def _step(self) -> bool:
        """Note outcomes, write them down, read and send; return whether something was done."""
        now = time.monotonic()
        self._keep_shards()
        self._note_outcomes(now)
        has_written = self._write()
        if self._promoter.promote(now, self._core.shards):
            self._core.look_back(now)
        if self._waiter.listen():
            self._core.hurry(now)
        has_read = self._read()
        has_sent = self._send()
        return has_written or has_read or has_sent

    def _wait(self) -> None:
        now = time.monotonic()
        if now < self._failures.retries_at:
            until = self._failures.retries_at
        else:
            until = min(
                self._core.next_due(now),
                self._ownership.next_due,
                self._promoter.due_at,
                now + LONGEST_WAIT if self._core.outstanding else now + 60.0,
            )
        if self._waiter.wait(until - now):
            self._core.hurry(time.monotonic())
        self._reports.check(time.monotonic())

    def _note_outcomes(self, now: float) -> None:
        for id_, error in self._sender.outcomes():
            self._reports.note_outcome()
            self._core.note_outcome(id_, error, now)
        self._forget_unsent()

    def _write(self) -> bool:
        """Write down what became of messages, then run their hooks; return whether it was done."""
        self._core.retry_locked(time.monotonic())
        if not self._core.unwritten:
            return False
        locked = self._settler.write(self._core.unwritten)
        written = self._core.note_written(time.monotonic(), locked)
        if written:
            self._note_written(written)
        return bool(written)

    def _note_written(self, written: Outcomes) -> None:
        sent = [self._messages.pop(row.id) for row in written.accepted]
        failed: list[Failure] = []
        parked: list[Failure] = []
        for refusal in written.refusals:
            message = self._messages.pop(refusal.row.id)
            message.attempts = refusal.attempts
            (parked if refusal.is_parked else failed).append((message, refusal.error))
        self._tally += Tally(len(sent), len(failed) + len(parked), len(parked))
        log_refusals(failed, parked)
        with with_fresh_connections(self.alias):
            self._lease_watch.begin()
            run_success_hooks(sent, self._after_hook)
            run_failure_hooks(parked, self._after_hook)

    def _after_hook(self) -> None:
        self._lease_watch.note_end("A hook")
        now = time.monotonic()
        if now >= max(self._ownership.next_due, self._keeps_at):
            self._keeps_at = now + _PAUSE_AFTER_FAILURE
            with suppress(AnyDatabaseError):  # the next step reports it
                self._keep_shards()

    def _forget_unsent(self) -> None:
        """Forget the payloads of messages that failed with an earlier one of their key."""
        known = self._core.known
        if len(self._messages) > len(known):
            self._messages = {id_: each for id_, each in self._messages.items() if id_ in known}

    def _keep_shards_if_due(self) -> None:
        if time.monotonic() >= self._ownership.next_due:
            self._keep_shards()

    def _keep_shards(self) -> None:
        """Keep the leases; let the core see each shard that is lost, also if it is regained."""
        self._ownership.tend(self._tally.sent)
        leaving = self._ownership.wants_to_release
        self._core.set_shards(self._ownership.shards - leaving, time.monotonic())
        if leaving and (settled := leaving - self._core.busy_shards()):
            self._ownership.release(settled)

    def _read(self) -> bool:
        now = time.monotonic()
        look = self._core.next_look(now)
        if look is None:
            return False
        page = self._reader.read(look, self._core.shards, self._core.known)
        if page.rows:
            self._waiter.saw_messages()
        self._core.set_poll(self._waiter.poll_seconds)
        self._core.note_page(look, page, now, time.monotonic() - now)
        return True

    def _send(self) -> bool:
        requests = self._core.take(time.monotonic())
        if not requests:
            return False
        try:
            messages = self._payloads.load(requests.rows())
        except BaseException:
            self._core.note_unsent(requests.rows(), time.monotonic())
            raise
        self._hand_over(requests, messages)
        return True

    def _hand_over(self, requests: Requests, messages: dict[int, Payload]) -> None:
        waiting = deque(requests.each())
        try:
            while waiting:
                self._keep_shards_if_due()  # loading, or a backend that waits, may take long
                self._request(waiting.popleft(), messages)
        except BaseException:
            self._core.note_unsent([row for rows in waiting for row in rows], time.monotonic())
            raise

    def _request(self, rows: list[Row], messages: dict[int, Payload]) -> None:
        """Send ``rows`` in one request, except for those that are gone or another relay's."""
        shards = self._ownership.shards
        gone = [row for row in rows if row.id not in messages]
        unsent = [row for row in rows if row.id in messages and row.shard not in shards]
        sent = [messages[row.id] for row in rows if row.id in messages and row.shard in shards]
        if gone:
            self._core.note_gone(gone, time.monotonic())
        if unsent:
            self._core.note_unsent(unsent, time.monotonic())
        if sent:
            self._messages.update((message.id, message) for message in sent)
            self._lease_watch.begin()
            self._sender.send(sent)
            self._lease_watch.note_end("The backend")

    def _finish(self) -> None:
        """Wait a little for the outcomes of what was sent, and write them down."""
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            self._note_outcomes(time.monotonic())
            while self._core.outstanding and (left := deadline - time.monotonic()) > 0:
                self._waiter.wait(left)
                self._note_outcomes(time.monotonic())
            self._write()
            while self._core.locked and (left := deadline - time.monotonic()) > 0:
                self._waiter.wait(min(left, _LOCKED_SECONDS))
                self._write()
        except AnyDatabaseError as error:
            logger.error("The last outcomes could not be written to the outbox: %s", error)
        self._reports.note_end()
