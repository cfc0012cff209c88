"""What a relay lets others know of itself: its row in the table ``Relay``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from django.db.models import QuerySet

from rele.contrib.outbox.models import Relay
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.presence import new_name
from rele.contrib.outbox.relaying.unlocked import Change, count_changed

_LATELY = 10.0
"""The rate is about the last so many seconds."""


class Heartbeat:
    """The row of one relay.

    Args:
        alias: of the outbox's database.
        clock: the database's.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(
        self, alias: str, clock: DatabaseClock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = new_name()
        self._alias = alias
        self._clock = clock
        self._monotonic = monotonic
        self._sent = 0
        self._rate = 0.0
        self._counted_at = monotonic()
        self._shown_lock: int | None = None

    def write(self, sent: int, session_lock: int | None) -> bool:
        """Show that the relay is running, unless another transaction has locked the row.

        Args:
            sent: how many messages it has sent since its beginning.
            session_lock: the number of its lock, if others can rely on it.

        Returns:
            whether others see that number.
        """
        self._count(sent)
        values = {
            "seen_at": self._clock.now(),
            "session_lock": session_lock,
            "sent": sent,
            "rate": self._rate,
        }
        if not self._change(lambda own: own.update(**values)):
            if run_statement(self._alias, self._relays().filter(name=self.name).exists):
                return session_lock == self._shown_lock
            row = Relay(name=self.name, **values)
            run_statement(self._alias, lambda: self._relays().bulk_create([row]))
        self._shown_lock = session_lock
        return True

    def forget_session_lock(self) -> bool:
        """Let others rely on the leases alone; return whether they do.

        They do not while another transaction has locked the row.
        """
        if self._change(lambda own: own.update(session_lock=None)):
            self._shown_lock = None
        return self._shown_lock is None

    def read_all(self) -> list[Relay]:
        """The rows of all relays, this one among them."""
        return run_statement(self._alias, lambda: list(self._relays()))

    def delete(self) -> None:
        """Show that the relay has ended."""
        self._change(lambda own: own.delete()[0])

    def delete_former(self, relays: Iterable[Relay]) -> None:
        """Delete the rows of relays that have ended, unless they have changed since."""
        for relay in relays:
            row = self._relays().filter(seen_at=relay.seen_at)
            count_changed(row, [relay.name], lambda former: former.delete()[0])

    def delete_all_others(self) -> None:
        """Delete the rows of all other relays, where there can only be this one."""
        run_statement(self._alias, self._relays().exclude(name=self.name).delete)

    def _change(self, change: Change) -> int:
        """Change the own row if nobody has locked it; return how many were changed."""
        return count_changed(self._relays(), [self.name], change)

    def _relays(self) -> QuerySet[Relay]:
        return Relay.objects.using(self._alias)

    def _count(self, sent: int) -> None:
        """Bring the rate up to date, in which what is long ago counts less and less."""
        now = self._monotonic()
        elapsed = now - self._counted_at
        if elapsed > 0:
            weight = min(1.0, elapsed / _LATELY)
            self._rate += weight * ((sent - self._sent) / elapsed - self._rate)
            self._sent, self._counted_at = sent, now
