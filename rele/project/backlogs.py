"""What waits at the server for the subscriptions of a worker, asked while somebody looks."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.endpoint import emulator_address
from rele.runtime.slow_question import BETWEEN_SCRAPES, SlowQuestion
from rele.schema.problems import Problem
from rele.status.providers import Provider
from rele.status.snapshot import Backlog, Contribution

if TYPE_CHECKING:
    from rele.resources.backlogs import Backlogs

MONITORING = "monitoring"
"""The value of ``RELE["BACKLOG"]`` for Cloud Monitoring."""

_EVERY = 5.0
"""Seconds between two questions to an emulator."""

_EVERY_OF_MONITORING = 60.0
"""Seconds: Cloud Monitoring has a figure a minute."""

_INTERVALS = 3
"""For how many of these an answer counts."""


def backlog_provider(config: Config, subs: Sequence[Subscription]) -> Provider | None:
    """What contributes the backlogs of ``subs``; ``None`` where nobody knows them.

    Args:
        config: the project's configuration.
        subs: what the worker consumes.
    """
    if emulator_address() is not None:
        every = _EVERY
    elif config.setting("BACKLOG") == MONITORING:
        every = _EVERY_OF_MONITORING
    else:
        return None
    ask = partial(_Server(config).backlogs, [each.name for each in subs])
    question = SlowQuestion("backlog", ask, every, every * _INTERVALS, asked_on=BETWEEN_SCRAPES)
    return lambda: Contribution(backlogs=question.look() or {})


class _Server:
    """Where the figures come from. The first question makes the connection."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._ask: Backlogs | None = None

    def backlogs(self, names: Sequence[str]) -> Mapping[str, Backlog]:
        """What waits for the subscriptions of these names, by name."""
        if self._ask is None:
            self._ask = self._connect()
        project = self._config.gc_project_id
        by_path = {f"projects/{project}/subscriptions/{name}": name for name in names}
        return {by_path[path]: backlog for path, backlog in self._ask([*by_path]).items()}

    def _connect(self) -> Backlogs:
        from rele.resources.backlogs import EmbeddedBacklogs, MonitoringBacklogs, monitoring_client

        if (address := emulator_address()) is not None:
            return EmbeddedBacklogs(address)
        connection = self._config.connection
        return MonitoringBacklogs(str(connection.gc_project_id), monitoring_client(connection))


def problems_of_backlog(name: str, value: str | None) -> Iterator[Problem]:
    """Whether what ``RELE["BACKLOG"]`` names is not installed."""
    if value == MONITORING and not _is_installed("google.cloud.monitoring_v3"):
        yield Problem(
            "rele.E004",
            f"RELE[{name!r}] = {value!r} needs the package google-cloud-monitoring, which is not "
            "installed.",
            "Install it with `pip install 'rele[monitoring]'`.",
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent is
        return False
