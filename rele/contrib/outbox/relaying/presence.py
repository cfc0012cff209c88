"""Which relays are running, as their database shows."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta

from rele.contrib.outbox.models import Relay
from rele.contrib.outbox.relaying.clock import DatabaseClock

HEARTBEAT_SECONDS = 5.0
"""The interval between two heartbeats of a relay."""

GONE_AFTER = timedelta(seconds=3 * HEARTBEAT_SECONDS)
"""A relay without a heartbeat for so long is no longer taken for running."""


def new_name() -> str:
    """A name for a relay of this process, ``host:random part:process id``.

    The random part is needed: two containers may have the same host name and process id, and a
    process may have two relays.
    """
    return f"{socket.gethostname()}:{secrets.token_hex(4)}:{os.getpid()}"


def present_relays(alias: str) -> list[str]:
    """The names of the relays that had a heartbeat lately."""
    since = DatabaseClock(alias).now() - GONE_AFTER
    relays = Relay.objects.using(alias).filter(seen_at__gt=since).order_by("name")
    return list(relays.values_list("name", flat=True))
