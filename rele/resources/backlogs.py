"""What waits at the server for subscriptions: of Relé's own server, and of Cloud Monitoring."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import grpc
from google.api_core.exceptions import GoogleAPICallError, PermissionDenied

from rele.endpoint import WITHOUT_PROXY
from rele.engine.connection import Connection
from rele.exceptions import ReleError
from rele.status.snapshot import Backlog

Backlogs = Callable[[Sequence[str]], Mapping[str, Backlog]]
"""Gets the paths of subscriptions; returns what waits for those of which it is known.

It may wait for a server, and raise.
"""

_TIMEOUT = 10.0
"""Seconds."""

_STATUS = "/rele.emulator.v1.Status/Get"

_NAMES_AT_A_TIME = 50
"""How many subscriptions one request of Cloud Monitoring names."""

_LOOK_BACK = 600
"""Seconds: Cloud Monitoring has a figure a minute, and shows it after up to four minutes."""


class BacklogError(ReleError):
    """It is not known what waits, and why not."""


class EmbeddedBacklogs:
    """The figures of Relé's own Pub/Sub server. Of Google's emulator nothing is known.

    Args:
        address: of the server.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._is_another_server = False

    def __call__(self, paths: Sequence[str]) -> Mapping[str, Backlog]:
        if self._is_another_server:
            return {}
        with grpc.insecure_channel(self._address, [WITHOUT_PROXY]) as channel:
            try:
                # Without serialisers: bytes in both directions, which the type stubs do not know.
                method: Any = channel.unary_unary(_STATUS)
                report = json.loads(method(b"", timeout=_TIMEOUT))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise BacklogError(
                        f"the Pub/Sub server at {self._address} does not say it "
                        f"({error.code().name}: {error.details()})"
                    ) from error
                self._is_another_server = True
                return {}
        return {
            each["name"]: Backlog(each["waiting"] + each["outstanding"], each["oldest_seconds"])
            for each in report["subscriptions"]
            if each["name"] in paths
        }


class MonitoringBacklogs:
    """The figures of Cloud Monitoring, which needs the extra ``monitoring``.

    Args:
        project_id: whose subscriptions they are.
        client: a ``MetricServiceClient``.
        now: the time, in seconds since the epoch.
    """

    def __init__(self, project_id: str, client: Any, now: Callable[[], float] = time.time) -> None:
        self._project_id = project_id
        self._client = client
        self._now = now

    def __call__(self, paths: Sequence[str]) -> Mapping[str, Backlog]:
        by_name = {path.rpartition("/")[2]: path for path in paths}
        names = sorted(by_name)
        found: dict[str, Backlog] = {}
        for begin in range(0, len(names), _NAMES_AT_A_TIME):
            some = names[begin : begin + _NAMES_AT_A_TIME]
            messages = dict(self._newest("num_undelivered_messages", some))
            ages = dict(self._newest("oldest_unacked_message_age", some)) if messages else {}
            for name, count in messages.items():
                age = ages.get(name) if count else None
                found[by_name[name]] = Backlog(count, None if age is None else float(age))
        return found

    def _newest(self, metric: str, names: Sequence[str]) -> Iterator[tuple[str, int]]:
        """The newest figure of each subscription that has one."""
        now = int(self._now())
        listed = ", ".join(json.dumps(name) for name in names)
        request = {
            "name": f"projects/{self._project_id}",
            "filter": f'metric.type = "pubsub.googleapis.com/subscription/{metric}" AND '
            'resource.type = "pubsub_subscription" AND '
            f"resource.labels.subscription_id = one_of({listed})",
            "interval": {"start_time": {"seconds": now - _LOOK_BACK}, "end_time": {"seconds": now}},
            "view": "FULL",
        }
        with self._explained_errors():
            for series in self._client.list_time_series(request=request, timeout=_TIMEOUT):
                if series.points:  # the newest comes first
                    name = series.resource.labels["subscription_id"]
                    yield name, series.points[0].value.int64_value

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionDenied as error:
            raise BacklogError(
                f"Cloud Monitoring refuses it ({_reason(error)}). Grant the worker's account "
                f"roles/monitoring.viewer on the project {self._project_id}, and enable the API "
                "monitoring.googleapis.com there."
            ) from error
        except GoogleAPICallError as error:
            raise BacklogError(f"Cloud Monitoring does not say it ({_reason(error)})") from error


def _reason(error: GoogleAPICallError) -> str:
    return str(error.message).removesuffix(".")


def monitoring_client(connection: Connection) -> Any:
    """A client of Cloud Monitoring for the account of ``connection``.

    Raises:
        ImportError: the extra ``monitoring`` is not installed.
        NoCredentialsError: there are no credentials.
    """

    # Not by a statement: it has types, and mypy would then look for those of all of google.cloud.
    monitoring_v3 = import_module("google.cloud.monitoring_v3")
    return replace(
        connection, client_options=_without_endpoint(connection.client_options)
    ).make_client(monitoring_v3.MetricServiceClient)


def _without_endpoint(options: Any) -> dict[str, Any] | None:
    """The options of a client without the ``api_endpoint``, which is Pub/Sub's."""
    given = options if isinstance(options, Mapping) else getattr(options, "__dict__", {})
    return {
        name: value for name, value in given.items() if name != "api_endpoint" and value is not None
    } or None
