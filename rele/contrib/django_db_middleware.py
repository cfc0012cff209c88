"""Django's database connections, opened and closed for each message as for a request."""

import logging

from django import db
from django.db import connections

from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.management.databases import close_connections, renew_connections
from rele.middleware import BaseMiddleware, per_thread

logger = logging.getLogger(__name__)


class DjangoDBMiddleware(BaseMiddleware):
    """Closes the connections that are unusable or too old, before and after each message.

    With ``CONN_MAX_AGE = 0`` no connection is left open after a message. A connection in the middle
    of a transaction is never closed. If closing one fails, the others are closed nevertheless.

    What earlier messages have left in ``connection.queries``, under ``DEBUG``, is cleared before
    each message, as Django clears it before each request.

    A message of an async handler has connections only if it uses the ORM: in a thread of its own,
    where they are closed when the message has ended.
    """

    closes_database_connections = True

    @per_thread
    def pre_process_message(self, subscription: Subscription, message: Message) -> None:
        _forget_queries()
        _close_old_connections()

    @per_thread
    def post_process_message(self) -> None:
        _close_old_connections()

    def post_worker_stop(self) -> None:
        try:
            db.connections.close_all()
        except Exception as error:  # noqa: BLE001 - of the database's driver
            _warn(error)
            close_connections()


def _forget_queries() -> None:
    for connection in connections.all(initialized_only=True):
        # Who forces the log, as assertNumQueries does, reads it after the message.
        if not connection.force_debug_cursor:
            connection.queries_log.clear()


def _close_old_connections() -> None:
    # Django would also close one in the middle of a transaction, which is the caller's: in a
    # TestCase, for example.
    if any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        renew_connections()
        return
    try:
        db.close_old_connections()
    except Exception as error:  # noqa: BLE001 - of the database's driver
        _warn(error)
        renew_connections()


def _warn(error: Exception) -> None:
    """Log it. Django stops at the first connection that fails, so the caller closes the others."""
    logger.warning("Closing a database connection failed: %s: %s", type(error).__name__, error)
