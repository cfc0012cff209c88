"""A journal that keeps everything in SQLite.

Changes are gathered on the event loop while a thread commits the previous ones, so that all
changes reported meanwhile share one commit.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from rele.emulator.delivery.ledger import Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.resources.journal import Journal, Kind
from rele.emulator.rules.refusals import ResourceExhaustedError, ServiceError, UnavailableError
from rele.emulator.storage import damage
from rele.emulator.storage.changes import Changes
from rele.emulator.storage.database import Database
from rele.emulator.storage.payloads import Payloads
from rele.emulator.storage.rows import Tally

RETRY_SECONDS = 1.0
"""How long after a failure to write the next attempt is made."""

_LOG = logging.getLogger(__name__)


class DurableLedger(Ledger):
    """A set of messages in the database. ``holder`` is its number there."""

    def __init__(self, journal: "DurableJournal", holder: int) -> None:
        self._journal = journal
        self._holder = holder

    def published(self, messages: Sequence[StoredMessage]) -> None:
        self._journal.changes().add(self._holder, messages)

    def removed(self, message_ids: Iterable[int]) -> None:
        self._journal.changes().remove(self._holder, message_ids)

    def replaced(self, message_ids: Sequence[int]) -> None:
        self._journal.changes().replace(self._holder, message_ids)

    def attempted(self, message_id: int, attempt: int) -> None:
        self._journal.changes().attempt(self._holder, message_id, attempt)

    def encoded(self, messages: Sequence[StoredMessage]) -> list[bytes | None]:
        return self._journal.payloads.encoded(messages)


class DurableJournal(Journal):
    """Keeps everything in ``database``, which ``close`` closes.

    If a commit fails, the reason is reported to all that wait for it, and ``check`` refuses every
    further change until writing works again. The changes in memory stay, and the commit is
    retried every ``RETRY_SECONDS``. So memory and disk differ only in changes that were not
    confirmed to any client.

    Args:
        loop: the event loop that it is used on.
        numbers: of the resources in the database by kind and name.
        tally: what the database has.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        database: Database,
        numbers: dict[tuple[Kind, str], int],
        tally: Tally,
    ) -> None:
        self._tally = tally
        self._set_aside = damage.count(database.directory)
        self.payloads = Payloads(database.reader)
        self._loop = loop
        self._database = database
        self._numbers = numbers
        self._last_number = max(numbers.values(), default=0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pubsub-writer")
        self._next = Changes()
        self._scheduled = False
        self._commit: asyncio.Future[Tally] | None = None
        self._writing: list[Changes] = []
        self._unwritten: list[Changes] = []
        self._failure: ServiceError | None = None
        self._retry: asyncio.TimerHandle | None = None

    def put(self, kind: Kind, name: str, config: Any, filter_text: str = "") -> None:
        number = self._numbers.get((kind, name))
        if number is None:
            self._last_number += 1
            number = self._numbers[kind, name] = self._last_number
        self.changes().put(number, kind, name, config.SerializeToString(), filter_text)

    def delete(self, kind: Kind, name: str) -> None:
        number = self._numbers.pop((kind, name))
        self.changes().delete(number, (2 * number, 2 * number + 1))

    def ledger(self, kind: Kind, name: str) -> Ledger:
        return DurableLedger(self, 2 * self._numbers[kind, name])

    def log(self, kind: Kind, name: str) -> Ledger:
        return DurableLedger(self, 2 * self._numbers[kind, name] + 1)

    def changes(self) -> Changes:
        """The changes of the next commit; a change has to be added at once."""
        if not self._scheduled:
            self._scheduled = True
            # Once the current callback has returned: a request's changes are never in two commits.
            self._loop.call_soon(self._start)
        return self._next

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def after_commit(self, done: Callable[[ServiceError | None], None]) -> None:
        if self._failure is not None:
            done(self._failure)
        elif self._scheduled:
            self._next.waiters.append(done)
        elif self._commit is not None:
            self._writing[-1].waiters.append(done)
        else:
            done(None)

    @property
    def damaged(self) -> int:
        return self._set_aside + len(self.payloads.damaged)

    @property
    def settled(self) -> bool:
        return not self._scheduled and self._commit is None and self._failure is None

    async def committed(self) -> None:
        if self.settled:
            return
        waiter: asyncio.Future[ServiceError | None] = self._loop.create_future()
        # The waiting task may have been cancelled.
        self.after_commit(lambda error: None if waiter.done() else waiter.set_result(error))
        error = await waiter
        if error is not None:
            raise error

    async def close(self) -> None:
        """Write what was reported, and stop; a failed write is retried once."""
        if self._retry is not None:
            self._retry.cancel()
            self._try_again()
        while self._commit is not None or (self._scheduled and self._retry is None):
            if self._commit is None:
                await asyncio.sleep(0)
            else:
                await asyncio.wait((self._commit,))
        if self._retry is not None:
            self._retry.cancel()
        self._thread.shutdown()
        self._database.close()

    def _start(self) -> None:
        """Commit what was reported, unless a commit is under way or writing fails."""
        if self._commit is not None or self._retry is not None:
            return
        self._scheduled = False
        self._writing = [*self._unwritten, self._next]
        self._next = Changes()
        self._commit = self._loop.run_in_executor(
            self._thread, commit, self._database, self._writing, self._tally
        )
        self._commit.add_done_callback(self._finish)

    def _finish(self, done: "asyncio.Future[Tally]") -> None:
        self._commit = None
        written, self._writing = self._writing, []
        error = done.exception()
        if error is None:
            self._tally = done.result()
            self._succeed(written)
        else:
            self._fail(written, error)

    def _succeed(self, written: list[Changes]) -> None:
        if self._failure is not None:
            _LOG.warning("The data directory can be written again.")
        self._failure = None
        self._unwritten = []
        for changes in written:
            self.payloads.written(changes.messages.values())
            changes.report(None)
        if self._scheduled:
            self._start()

    def _fail(self, unwritten: list[Changes], error: BaseException) -> None:
        text = f"The data directory {self._database.directory} cannot be written: {error}"
        if self._failure is None:
            _LOG.error("%s. Changes are refused until it can.", text)
        full = "full" in str(error)
        self._failure = ResourceExhaustedError(text) if full else UnavailableError(text)
        self._unwritten = unwritten
        for changes in (*unwritten, self._next):
            changes.report(self._failure)
        self._retry = self._loop.call_later(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._start()


def commit(database: Database, group: Sequence[Changes], before: Tally) -> Tally:
    """Write a group of changes, all or none, and return the new tally. Raises ``sqlite3.Error``."""
    tally = replace(before)
    with database.transaction():
        for changes in group:
            changes.write(database.writer, tally)
    return tally
