"""The relays of one process: one for each database that the outbox is in."""

from __future__ import annotations

import logging
import pkgutil
import threading
from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from rele.backends import BaseBackend
from rele.config import Config
from rele.contrib.outbox.backend import OutboxBackend
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.exceptions import OutboxError
from rele.contrib.outbox.relaying.relay import BATCH_BYTES, BATCH_SIZE, OutboxRelay, Tally
from rele.contrib.outbox.relaying.times import RelayTimes
from rele.exceptions import ConfigurationError
from rele.management.databases import close_connections

logger = logging.getLogger(__name__)

_STOP_SECONDS = 2.0

_RETRY_FOR = 5.0
"""Seconds for which Relé's own engine retries a message."""


class Relays:
    """Several relays that begin and end together, each in its own thread.

    Args:
        relays: at least one.
    """

    def __init__(self, relays: Sequence[OutboxRelay]) -> None:
        self._relays = relays
        self._errors: list[BaseException] = []

    @property
    def complaints(self) -> list[str]:
        """Why they cannot send now; empty: they can."""
        return [complaint for relay in self._relays for complaint in relay.complaints]

    @property
    def shards(self) -> dict[str, int]:
        """How many shards of the outbox each has, by the alias of its database."""
        return {each.alias: each.shards for each in self._relays}

    def begin(self) -> None:
        """Show others that the relays are running; :meth:`run` does this, too.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: one of the databases cannot be used.
        """
        try:
            for relay in self._relays:
                relay.begin()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Show that the relays have ended, if :meth:`run` was not called."""
        for relay in self._relays:
            relay.end()

    def disconnect(self) -> None:
        """Close this thread's connections; :meth:`run` opens others, in its own threads."""
        for relay in self._relays:
            relay.disconnect()

    def stop(self) -> None:
        """Let :meth:`run` return soon; may be called in a signal handler, and from any thread."""
        for relay in self._relays:
            relay.stop()

    def run(self) -> None:
        """Send waiting and new messages until :meth:`stop`, or until one of the relays has failed.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: a database cannot be used at the beginning; later, it is waited for.
        """
        self.begin()
        own, *others = self._relays
        threads = [
            threading.Thread(
                target=self._run_in_thread, args=(relay,), name="rele-outbox-relay", daemon=True
            )
            for relay in others
        ]
        for thread in threads:
            thread.start()
        self._run(own)
        for thread in threads:
            thread.join(_STOP_SECONDS)
        if self._errors:
            raise self._errors[0]

    def run_once(self) -> Tally:
        """Send the messages that are due now in each database, and return how many were sent.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: a database cannot be used; the messages of the others were sent.
        """
        self.begin()
        tally, errors = Tally(), []
        try:
            for relay in self._relays:
                try:
                    tally += relay.run_once()
                except OutboxError as error:
                    errors.append(error)
        finally:
            self.end()
        for other in errors[1:]:
            logger.error("%s", other)
        if errors:
            raise errors[0]
        return tally

    def _run_in_thread(self, relay: OutboxRelay) -> None:
        try:
            self._run(relay)
        finally:
            close_connections()

    def _run(self, relay: OutboxRelay) -> None:
        try:
            relay.run()
        except BaseException as error:  # noqa: BLE001 - raised by run()
            self._errors.append(error)
        finally:
            # A process whose relays run only in part would look healthy.
            self.stop()


def make_relays(
    config: Config,
    batch_size: int = BATCH_SIZE,
    batch_bytes: int = BATCH_BYTES,
    times: RelayTimes | None = None,
) -> Relays:
    """The relays that ``config`` describes.

    Args:
        config: the project's configuration.
        batch_size: how many messages of a topic may be outstanding.
        batch_bytes: how many bytes may be outstanding; one message may be larger.
        times: the durations; tests shorten them.

    Raises:
        ConfigurationError: their backend cannot be made, or would send nothing.
    """
    settings = OutboxSettings.in_config(config)
    try:
        backend_class: type[BaseBackend] = pkgutil.resolve_name(settings.backend)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"RELE['OUTBOX']['BACKEND'] = {settings.backend!r} cannot be imported: {error}"
        ) from error
    if isinstance(backend_class, type) and issubclass(backend_class, OutboxBackend):
        raise ConfigurationError(
            f"RELE['OUTBOX']['BACKEND'] = {settings.backend!r} is the outbox itself: nothing would "
            "be sent. Remove it to send to Pub/Sub."
        )
    backend = backend_class(_with_short_retries(config))
    return Relays(
        [
            OutboxRelay(alias, settings, backend, batch_size, batch_bytes, times)
            for alias in settings.aliases
        ]
    )


def _with_short_retries(config: Config) -> Config:
    """The configuration with an end to retries soon after which the relay retries itself.

    Until then, a topic that is unavailable keeps some of the room for outstanding messages.
    """
    of_relay = copy(config)
    options = config.publisher_options
    of_relay.publisher_options = replace(options, retry_for=min(options.retry_for, _RETRY_FOR))
    return of_relay
