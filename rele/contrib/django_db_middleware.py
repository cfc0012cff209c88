"""Django's database connections, opened and closed as around a request."""

from typing import Any

from django import db
from django.db import connections

from rele.middleware import BaseMiddleware
from rele.subscription import Subscription


class DjangoDBMiddleware(BaseMiddleware):
    """Closes the connections that are unusable or too old, before and after each message.

    With ``CONN_MAX_AGE = 0`` no connection is left open after a message. One in the middle of a
    transaction is never closed.
    """

    def pre_process_message(self, subscription: Subscription, message: Any) -> None:
        _close_old_connections()

    def post_process_message(self) -> None:
        _close_old_connections()

    def post_worker_stop(self) -> None:
        db.connections.close_all()


def _close_old_connections() -> None:
    # Django would close one within a transaction, too: it is the caller's, as in a TestCase.
    if not any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        db.close_old_connections()
