"""Who contributes to the snapshot of this process."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from rele.status.snapshot import Backlog, Contribution, Snapshot, SubscriptionStatus

logger = logging.getLogger(__name__)

Provider = Callable[[], Contribution]
"""Called in any thread, and quickly: it must not wait for a server, a database or a busy lock."""

RenderMetrics = Callable[[Sequence[Snapshot]], tuple[str, bytes]]
"""Gets the snapshots of all processes; returns the content type and the text of ``/metrics``."""


class Status:
    """The providers of one process.

    Args:
        now: seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._providers: dict[object, Provider] = {}
        self._started_at = now()
        self.worker_number: int | None = None
        """Of a process that a supervisor has started."""
        self.metrics: RenderMetrics | None = None
        """What answers ``/metrics``; a middleware stores it here."""

    def add(self, provider: Provider) -> Callable[[], None]:
        """Ask ``provider`` for each snapshot, until the returned function is called."""
        key = object()
        self._providers[key] = provider

        def remove() -> None:
            with suppress(KeyError):
                del self._providers[key]

        return remove

    def snapshot(self) -> Snapshot:
        """The state of the process now. A provider that raises is logged, and left out."""
        known = [each for each in map(_ask, list(self._providers.values())) if each is not None]
        backlogs = {name: one for each in known for name, one in each.backlogs.items()}
        number = "" if self.worker_number is None else f"/{self.worker_number}"
        return Snapshot(
            process=f"{socket.gethostname()}:{os.getpid()}{number}",
            taken_at=self._now(),
            started_at=self._started_at,
            phase=next((each.phase for each in known if each.phase is not None), None),
            subscriptions=tuple(
                _with_backlog(one, backlogs) for each in known for one in each.subscriptions
            ),
            figures=tuple(one for each in known for one in each.figures),
            complaints=tuple(one for each in known for one in each.complaints),
        )


def _with_backlog(
    subscription: SubscriptionStatus, backlogs: Mapping[str, Backlog]
) -> SubscriptionStatus:
    backlog = backlogs.get(subscription.name)
    return subscription if backlog is None else replace(subscription, backlog=backlog)


def _ask(provider: Provider) -> Contribution | None:
    try:
        return provider()
    except Exception:
        logger.exception("A part of the process's status is not known.")
        return None


STATUS = Status()
"""The providers of this process."""
