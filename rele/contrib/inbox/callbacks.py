"""What a handler has left to ``transaction.on_commit``.

Its errors come too late to fail the message, which is recorded: a redelivery would be skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connections

from rele.runtime.interruptions import is_interruption

logger = logging.getLogger(__name__)


@contextmanager
def reporting_callbacks(alias: str, subscription: str) -> Iterator[None]:
    """Let the callbacks that the block registers log their errors, instead of raising them.

    So each of them runs, and the transaction's end raises nothing but that it has failed.

    Args:
        alias: of the database.
        subscription: whose handler runs in the block.
    """
    connection = connections[alias]
    before = len(connection.run_on_commit)
    yield
    connection.run_on_commit[before:] = [
        (entry[0], partial(_report, entry[1], subscription), *entry[2:])
        for entry in connection.run_on_commit[before:]
    ]


def _report(callback: Callable[[], Any], subscription: str) -> None:
    try:
        callback()
    except BaseException as error:
        if is_interruption(error):
            raise
        logger.exception(
            "What the handler of %s has left to on_commit has failed: %r. The message counts as "
            "handled, since its transaction is committed.",
            subscription,
            callback,
        )
