"""A thread beside a worker: a relay, or a watch that warns while no relay runs elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import Error as AnyDatabaseError

from rele.config import Config
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.figures import showing_figures
from rele.contrib.outbox.relaying.presence import present_relays
from rele.contrib.outbox.relaying.relay import BATCH_BYTES, BATCH_SIZE
from rele.contrib.outbox.relaying.relay_status import contribution_of
from rele.contrib.outbox.relaying.relays import Relays, make_relays
from rele.contrib.outbox.room import BACKENDS
from rele.management.databases import close_connections
from rele.status.providers import STATUS

logger = logging.getLogger(__name__)

CHECK_SECONDS = 60.0
"""The interval at which a worker checks whether a relay is running."""

_STOP_SECONDS = 2.0


def beside_worker(
    config: Config, options: Mapping[str, Any]
) -> AbstractContextManager[Callable[[], None]] | None:
    """Run a relay with ``--relay``; else, if the outbox is in use, warn while no relay runs.

    In both cases its figures are in the status of the process.
    """
    if options["relay"]:
        return _with_figures(
            config, relaying(config, options["batch_size"], options["batch_bytes"])
        )
    if config.publisher_backend in BACKENDS:
        return _with_figures(config, watching(config))
    return None


@contextmanager
def _with_figures(
    config: Config, beside: AbstractContextManager[Callable[[], None]]
) -> Iterator[Callable[[], None]]:
    with showing_figures(OutboxSettings.in_config(config).aliases), beside as begin:
        yield begin


@contextmanager
def relaying(
    config: Config, batch_size: int = BATCH_SIZE, batch_bytes: int = BATCH_BYTES
) -> Iterator[Callable[[], None]]:
    """Run the relay that ``config`` describes until the block ends.

    The block is given a function that starts the relay. Call it when the worker's subscriptions
    exist: Pub/Sub drops messages that are published to a topic without subscriptions.

    Args:
        config: the project's configuration.
        batch_size: how many messages of a topic may be outstanding.
        batch_bytes: how many bytes may be outstanding; one message may be larger.

    Raises:
        ConfigurationError: the relay cannot be made, or another relay is running and the database
            allows only one.
        OutboxError: the outbox's database cannot be used.
    """
    relays = make_relays(config, batch_size, batch_bytes)
    relays.begin()
    relays.disconnect()
    thread = threading.Thread(target=_run, args=(relays,), name="rele-outbox-relay", daemon=True)
    forget = STATUS.add(lambda: contribution_of(relays))
    try:
        yield thread.start
    finally:
        forget()
        relays.stop()
        if thread.ident is None:
            relays.end()
        else:
            thread.join(_STOP_SECONDS)


def _run(relays: Relays) -> None:
    try:
        relays.run()
    except Exception:
        logger.exception("The relay has ended with an error. The worker continues without it.")
    finally:
        close_connections()


@contextmanager
def watching(config: Config, interval: float = CHECK_SECONDS) -> Iterator[Callable[[], None]]:
    """Warn in the log while no relay is running, until the block ends.

    The block is given a function that starts the watch.

    Args:
        config: the project's configuration.
        interval: seconds between two checks of the database.
    """
    watches = [RelayWatch(alias) for alias in OutboxSettings.in_config(config).aliases]
    stop = threading.Event()
    thread = threading.Thread(
        target=_check_repeatedly,
        args=(watches, stop, interval),
        name="rele-outbox-watch",
        daemon=True,
    )
    try:
        yield thread.start
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join(_STOP_SECONDS)


def _check_repeatedly(
    watches: Sequence[RelayWatch], stop: threading.Event, interval: float
) -> None:
    while not stop.wait(interval):
        for watch in watches:
            watch.check()
        close_connections()  # not kept open until the next check


class RelayWatch:
    """Warns when two consecutive checks have found no relay.

    Args:
        alias: of the outbox's database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._seen_at = time.monotonic()
        self._checks_without_relay = 0

    def check(self) -> None:
        """Check for relays; warn when the second check in a row finds none.

        The next warning comes only after relays have been found again.
        """
        try:
            relays = present_relays(self._alias)
        except AnyDatabaseError as error:
            logger.debug("Looking for relays failed: %s", error)
            return
        if relays:
            self._seen_at = time.monotonic()
            self._checks_without_relay = 0
            return
        self._checks_without_relay += 1
        if self._checks_without_relay == 2:
            logger.warning(
                "No relay has been running for the outbox in %r for %.0f s: published messages "
                "wait there and are not sent. Run `manage.py rele relay`, or `manage.py runrele "
                "--relay`.",
                self._alias,
                time.monotonic() - self._seen_at,
            )
