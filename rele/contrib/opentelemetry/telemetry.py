"""The tracer and the instruments of the process's providers, and what all that they record has."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import lru_cache

from opentelemetry import metrics, trace

from rele._version import __version__
from rele.contrib.opentelemetry.names import (
    BUCKETS,
    CLIENT_ID,
    CONSUMED_MESSAGES,
    DESTINATION,
    OPERATION_DURATION,
    OPERATION_NAME,
    OPERATION_TYPE,
    PROCESS_DURATION,
    PUBSUB,
    SCHEMA_URL,
    SENT_MESSAGES,
    SERVER_ADDRESS,
    SERVER_PORT,
    SUBSCRIPTION,
    SYSTEM,
    TYPE_OF,
)

_API = ("opentelemetry.trace", "opentelemetry.metrics")
"""Where the providers are from that do nothing."""

Attributes = dict[str, str | int | float]


class Telemetry:
    """What spans are started with, and what metrics are recorded with.

    Args:
        tracers: the provider of the tracer.
        meters: the provider of the meter.
        server: the host and the port of Pub/Sub; ``None`` if they are not known.
    """

    def __init__(
        self,
        tracers: trace.TracerProvider,
        meters: metrics.MeterProvider,
        server: tuple[str, int] | None,
    ) -> None:
        self.tracer = tracers.get_tracer("rele", __version__, SCHEMA_URL)
        meter = meters.get_meter("rele", __version__, SCHEMA_URL)
        self.operation_duration = meter.create_histogram(
            OPERATION_DURATION,
            "s",
            "Duration of messaging operation initiated by a producer or consumer client.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self.process_duration = meter.create_histogram(
            PROCESS_DURATION,
            "s",
            "Duration of processing operation.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self.sent_messages = meter.create_counter(
            SENT_MESSAGES,
            "{message}",
            "Number of messages producer attempted to send to the broker.",
        )
        self.consumed_messages = meter.create_counter(
            CONSUMED_MESSAGES,
            "{message}",
            "Number of messages that were delivered to the application.",
        )
        self.measures = not _is_of_api(meters)
        """Whether what is recorded with the instruments counts."""
        self._dropped = _dropped_by(self.tracer)
        self.drops_below_remote = "remote" in self._dropped
        """Whether no span is recorded whose parent is of another process, and not sampled."""
        self._common: Attributes = {SYSTEM: PUBSUB}
        if server is not None:
            self._common |= {SERVER_ADDRESS: server[0], SERVER_PORT: server[1]}
        self.of_topic = lru_cache(maxsize=1024)(self._of_topic)
        self.of_subscription = lru_cache(maxsize=1024)(self._of_subscription)

    def drops_below(self, parent: trace.SpanContext) -> bool:
        """Whether no span with this parent is recorded, as far as that is known.

        To start one, and be told so by the sampler, takes longer than all else about a message.
        """
        return (
            parent.is_valid
            and not parent.trace_flags & trace.TraceFlags.SAMPLED
            and ("remote" if parent.is_remote else "local") in self._dropped
        )

    def _of_topic(self, operation: str, topic: str, *, has_type: bool = True) -> Attributes:
        """The attributes of an operation on the topic with this id.

        Counters and the duration of handlers have no type of the operation.
        """
        return {**self._common, **_names_of(operation, has_type), DESTINATION: topic}

    def _of_subscription(self, operation: str, name: str, *, has_type: bool = True) -> Attributes:
        """As :meth:`_of_topic`, on the subscription with this id."""
        own: Attributes = {DESTINATION: name, SUBSCRIPTION: name}
        return {**self._common, **_names_of(operation, has_type), **own}


def _names_of(operation: str, has_type: bool) -> Attributes:
    names: Attributes = {OPERATION_NAME: operation}
    if has_type and operation in TYPE_OF:
        names[OPERATION_TYPE] = TYPE_OF[operation]
    return names


def client_id() -> Mapping[str, str]:
    """The attribute that names this process."""
    return _client_id(os.getpid())


@lru_cache(maxsize=1)
def _client_id(pid: int) -> Mapping[str, str]:
    return {CLIENT_ID: f"{socket.gethostname()}:{pid}"}


def are_set() -> bool:
    """Whether the process has a provider that does something, for spans or for metrics."""
    providers = trace.get_tracer_provider(), metrics.get_meter_provider()
    return not all(map(_is_of_api, providers))


def _is_of_api(provider: object) -> bool:
    return type(provider).__module__.startswith(_API)


def _dropped_by(tracer: trace.Tracer) -> frozenset[str]:
    """The kinds of parents that are not sampled, and whose children are not sampled, therefore.

    The SDK's tracer has its sampler, and the description of a sampler is a part of OpenTelemetry's
    specification.
    """
    describe = getattr(getattr(tracer, "sampler", None), "get_description", str)
    description = str(describe())
    if not description.startswith("ParentBased{"):
        return frozenset()
    return frozenset(
        kind for kind in ("remote", "local") if f",{kind}ParentNotSampled:AlwaysOff" in description
    )
