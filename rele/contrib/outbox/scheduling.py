"""Messages that are to be sent later, and those that are cancelled before."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import timezone as timezones

from django.conf import settings
from django.db import connections
from django.utils import timezone

from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.clock import DatabaseClock


def due_at(alias: str, when: datetime | timedelta) -> datetime:
    """When a message is due, as the database ``alias`` stores it.

    Raises:
        ValueError: ``when`` has no time zone, though the project uses them, or is out of range.
        django.db.Error: the database cannot be asked for the time.
    """
    try:
        if isinstance(when, timedelta):
            return DatabaseClock(alias).now() + when
        return _as_stored(when)
    except OverflowError:
        raise ValueError(f"`when` is out of the range of dates: {when!r}.") from None


def _as_stored(when: datetime) -> datetime:
    if settings.USE_TZ:
        if timezone.is_naive(when):
            raise ValueError(
                f"`when` has no time zone: {when!r}. Use `timezone.now() + …`, with "
                "`django.utils.timezone`, or a timedelta."
            )
        return when.astimezone(timezones.utc)
    if timezone.is_naive(when):
        return when
    return timezone.make_naive(when, timezone.get_default_timezone())


def cancel(alias: str, event_id: str) -> bool:
    """Delete the scheduled messages with that event id; return whether there was one."""
    scheduled = OutboxMessage.objects.using(alias).filter(state=State.SCHEDULED)
    # The condition is checked once the row is locked: either this deletes the row, or a relay has
    # made it due. delete() may take two statements, where a project listens for signals.
    found = scheduled.filter(event_id=event_id)
    if connections[alias].vendor != "mysql":
        return found._raw_delete(alias) > 0
    # By their ids, with which no other row is read: MySQL and MariaDB lock each row that they read,
    # and would wait for a transaction that has scheduled or cancelled another message.
    # https://dev.mysql.com/doc/refman/8.4/en/innodb-locks-set.html
    ids = list(found.values_list("id", flat=True))
    return sum(scheduled.filter(id=id_)._raw_delete(alias) for id_ in ids) > 0
