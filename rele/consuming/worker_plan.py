"""The plan of a worker, made before the worker does anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rele.config import Config
from rele.dead_letter_policy import DeadLetterPolicy
from rele.declaration.options import SubscriptionOptions
from rele.declaration.subscription import Subscription
from rele.engine.connection import Connection
from rele.engine.google.clients import no_project
from rele.engine.google.flow_control import flow_control, max_lease_duration, states_limits
from rele.messages.codec import Decode, decoder
from rele.schema.settings import DEFAULT_ACK_DEADLINE, DEFAULTS

TASKS = 100
"""How many messages of an async handler run at a time, where ``threads`` is not stated."""

Provisioning = Literal["apply", "create", "verify", "ignore", "create first"]
"""How topics and subscriptions are set up: a value of ``RELE["RESOURCES"]``, or as Relé 1.x did."""


@dataclass(frozen=True)
class ConsumerPlan:
    """How one subscription is consumed."""

    subscription: Subscription
    threads: int
    """How many messages are handled at a time."""
    flow_control: Any
    """Google's FlowControl; ``None`` for the default of Google's client."""
    max_lease_duration: float
    """Seconds for which a message may be leased."""
    confirms_acks: bool
    """Whether an ack waits for Pub/Sub's response, as exactly-once delivery needs."""
    logs_payloads: bool
    """Whether a payload that cannot be decoded may be logged."""
    decode: Decode
    """Turns a payload into the handler's data."""
    dead_letter_policy: DeadLetterPolicy | None
    options: SubscriptionOptions
    """What the declaration and the defaults state."""
    longest_lease: int
    """Seconds for which one extension leases a message, at most: the ack deadline."""
    is_on_loop: bool = False
    """Whether tasks in one event loop handle the messages, instead of threads."""


@dataclass(frozen=True)
class WorkerPlan:
    """All settings of one worker, and its connection."""

    connection: Connection
    subscriptions: Sequence[Subscription]
    consumers: tuple[ConsumerPlan, ...]
    """One for each subscription."""
    shutdown_timeout: float
    """Seconds that running handlers have to finish when the worker stops."""
    provisioning: Provisioning
    defaults: SubscriptionOptions
    """The options for all subscriptions; an option of a declaration takes precedence."""
    is_resilient: bool
    """Whether the worker reconnects soon after an outage, and logs outages."""
    handler_limit: float | None = None
    """Seconds that a handler may run before the process is to be restarted; ``None``: any time."""
    engine: str = "google"
    """The engine of the consumers: ``"google"`` or ``"rele"``."""

    @property
    def watches_topics(self) -> bool:
        """Whether the worker checks for deleted topics."""
        return self.provisioning not in ("ignore", "create first")

    @property
    def recreates_topics(self) -> bool:
        """Whether a deleted topic is created again, with its subscription."""
        return self.provisioning in ("apply", "create")


def plan_of_config(
    config: Config, connection: Connection, subscriptions: Sequence[Subscription]
) -> WorkerPlan:
    """The plan of a worker that ``config`` describes.

    Raises:
        NoProjectError, UnusableCredentialsError: no project is known.
    """
    if connection.gc_project_id is None:
        raise no_project()
    defaults = config.subscription_defaults
    return WorkerPlan(
        connection,
        subscriptions,
        tuple(
            _plan_consumer(
                each,
                config.overrides.over(each.options.over(defaults)),
                threads=defaults.threads or _threads_of(each, config.engine),
                ack_deadline=config.ack_deadline,
                limits_messages=True,
                logs_payloads=config.log_payloads,
                json_decoder=config.decoder,
                is_on_loop=_is_on_loop(each, config.engine),
            )
            for each in subscriptions
        ),
        shutdown_timeout=config.shutdown_timeout,
        provisioning=config.resources,  # type: ignore[arg-type]  # the schema has checked it
        defaults=defaults,
        is_resilient=True,
        handler_limit=config.handler_limit,
        engine=config.engine,
    )


def count_handler_threads(config: Config, subscriptions: Sequence[Subscription]) -> int:
    """How many threads a worker of ``config`` has for handlers; all async ones share one."""
    in_threads = [each for each in subscriptions if not _is_on_loop(each, config.engine)]
    counts = (
        config.overrides.over(each.options.over(config.subscription_defaults)).threads
        or config.threads_per_subscription
        for each in in_threads
    )
    return sum(counts) + (len(in_threads) < len(subscriptions))


def plan_as_in_1x(
    connection: Connection, subscriptions: Sequence[Subscription], threads: int | None
) -> WorkerPlan:
    """The plan of a worker that a program builds itself, as with Relé 1.x.

    Everything that neither the program nor a declaration states is the default of Google's client.
    """
    return WorkerPlan(
        connection,
        subscriptions,
        tuple(
            _plan_consumer(
                each,
                each.options,
                threads=threads or DEFAULTS["THREADS_PER_SUBSCRIPTION"],
                ack_deadline=connection.ack_deadline or DEFAULT_ACK_DEADLINE,
                limits_messages=states_limits(each.options),
                logs_payloads=True,
            )
            for each in subscriptions
        ),
        shutdown_timeout=DEFAULTS["SHUTDOWN_TIMEOUT"],
        provisioning="create first",
        defaults=SubscriptionOptions(),
        is_resilient=False,
    )


def _plan_consumer(
    subscription: Subscription,
    options: SubscriptionOptions,
    *,
    threads: int,
    ack_deadline: int,
    limits_messages: bool,
    logs_payloads: bool,
    json_decoder: Callable[..., Any] = json.JSONDecoder,
    is_on_loop: bool = False,
) -> ConsumerPlan:
    threads = options.threads or threads
    return ConsumerPlan(
        subscription,
        threads,
        flow_control(options, threads) if limits_messages else None,
        max_lease_duration(options),
        confirms_acks=bool(options.enable_exactly_once_delivery),
        logs_payloads=logs_payloads,
        decode=decoder(options.codec or "json", json_decoder),
        dead_letter_policy=options.dead_letter_policy,
        options=options,
        longest_lease=options.ack_deadline or ack_deadline,
        is_on_loop=is_on_loop,
    )


def _is_on_loop(subscription: Subscription, engine: str) -> bool:
    return engine == "rele" and subscription.is_async and subscription.batch is None


def _threads_of(subscription: Subscription, engine: str) -> int:
    """How many messages are handled at a time, where that is not stated."""
    if _is_on_loop(subscription, engine):
        return TASKS
    threads: int = DEFAULTS["THREADS_PER_SUBSCRIPTION"]
    return threads
