"""To which of the outbox's databases a message is written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from django.db import connections

from rele import config
from rele.contrib.outbox.conf import OutboxSettings
from rele.exceptions import ConfigurationError
from rele.runtime.own_records import log_publishing

logger = logging.getLogger(__name__)

_chosen: ContextVar[str | None] = ContextVar("rele_outbox_alias", default=None)

_warned_of: set[str] = set()
"""The databases of which this process has warned."""


def using(alias: str) -> AbstractContextManager[None]:
    """Within the block, write published messages to the outbox of the database ``alias``::

        with transaction.atomic(using="orders"), using("orders"):
            order.save(using="orders")
            rele.publish("order-paid", {"id": order.id})

    Raises:
        ConfigurationError: ``RELE["OUTBOX"]["USING"]`` does not name it, so no relay would send it.
    """
    aliases = OutboxSettings.in_config(config.current()).aliases
    if alias not in aliases:
        raise ConfigurationError(
            f"The outbox is in {', '.join(map(repr, aliases))}, not in {alias!r}: add it to "
            "RELE['OUTBOX']['USING'], and migrate it."
        )
    return _using(alias)


@contextmanager
def _using(alias: str) -> Iterator[None]:
    token = _chosen.set(alias)
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen_alias() -> str | None:
    """The alias of the innermost :func:`using`, if there is one."""
    return _chosen.get()


def warn_of_another_transaction(alias: str) -> None:
    """Warn if a transaction is open on other databases, but none on ``alias``, the outbox's.

    The message is then committed at once, although the caller seems to expect otherwise.
    """
    outbox = connections[alias]
    if outbox.in_atomic_block or not outbox.get_autocommit():
        return
    for connection in connections.all(initialized_only=True):
        other = connection.alias
        if connection.in_atomic_block and other not in _warned_of:
            _warned_of.add(other)
            log_publishing(
                logger,
                logging.WARNING,
                "Published within a transaction on the database %r, but the outbox is in %r, where "
                "none is open: the message is sent even if that transaction is rolled back. "
                "Publish within rele.contrib.outbox.using(%r), with %r in RELE['OUTBOX']['USING'].",
                other,
                alias,
                other,
                other,
            )
