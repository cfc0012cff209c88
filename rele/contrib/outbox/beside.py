"""What runs in threads beside a worker: a relay, or a look at whether there is one elsewhere."""

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
from rele.contrib.outbox.presence import present_relays
from rele.contrib.outbox.relays import Relays, make_relays
from rele.contrib.outbox.room import BACKENDS
from rele.management.databases import close_connections, renew_connections

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""Between two looks at whether a relay is at work."""

_STOP_SECONDS = 2.0


def beside_worker(
    config: Config, options: Mapping[str, Any]
) -> AbstractContextManager[Callable[[], None]] | None:
    """A relay; without one, see to it that somebody hears of it if there is none elsewhere."""
    if options["relay"]:
        return relaying(config)
    return watching(config) if config.publisher_backend in BACKENDS else None


@contextmanager
def relaying(config: Config) -> Iterator[Callable[[], None]]:
    """Run the relay that ``config`` describes within the block, once what is given is called.

    Call it when the worker's subscriptions are there: Pub/Sub drops what is sent to a topic
    without any.

    Raises:
        ConfigurationError: it cannot be made, or another works where only one can.
        OutboxError: its database cannot be used.
    """
    relays = make_relays(config)
    relays.begin()
    renew_connections()  # the relay's own thread has another
    thread = threading.Thread(target=_run, args=(relays,), name="rele-outbox-relay", daemon=True)
    try:
        yield thread.start
    finally:
        relays.stop()
        if thread.ident is None:
            relays.end()
        else:
            thread.join(_STOP_SECONDS)


def _run(relays: Relays) -> None:
    try:
        relays.run()
    except Exception:
        logger.exception("The relay has ended; the worker goes on without it.")
    finally:
        close_connections()


@contextmanager
def watching(config: Config, interval: float = LOOK_SECONDS) -> Iterator[Callable[[], None]]:
    """Within the block, once what is given is called, warn in the log while no relay is at work.

    Args:
        config: the project's.
        interval: seconds between two looks.
    """
    watches = [RelayWatch(alias) for alias in OutboxSettings.in_config(config).aliases]
    stop = threading.Event()
    thread = threading.Thread(
        target=_look_again_and_again,
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


def _look_again_and_again(
    watches: Sequence[RelayWatch], stop: threading.Event, interval: float
) -> None:
    while not stop.wait(interval):
        for watch in watches:
            watch.look()
        close_connections()  # it is long until the next look


class RelayWatch:
    """Notices that no relay has been at work for two looks.

    Args:
        alias: of the outbox's database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._seen_at = time.monotonic()
        self._looks_in_vain = 0

    def look(self) -> None:
        """Warn at the second look in vain; again only after one that was not."""
        try:
            relays = present_relays(self._alias)
        except AnyDatabaseError as error:
            logger.debug("Whether a relay is at work is not known: %s", error)
            return
        if relays:
            self._seen_at = time.monotonic()
            self._looks_in_vain = 0
            return
        self._looks_in_vain += 1
        if self._looks_in_vain == 2:
            logger.warning(
                "No relay has been at work on the outbox in %r for %.0f s: what is published "
                "waits there and is not sent. Run `manage.py rele relay`, or `manage.py runrele "
                "--relay`.",
                self._alias,
                time.monotonic() - self._seen_at,
            )
