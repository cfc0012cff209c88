"""How a subscription is consumed, worked out from the settings and its declaration."""

from __future__ import annotations

from typing import Any

import pytest

from rele import Batch
from rele.config import Config
from rele.consuming.worker_plan import ConsumerPlan, plan_of_config
from rele.engine.connection import Connection
from rele.subscription import Subscription


async def handle(data: Any, **attributes: Any) -> None: ...


async def handle_batch(messages: Any) -> None: ...


def planned(subscription: Subscription, **settings: Any) -> ConsumerPlan:
    config = Config({"GC_PROJECT_ID": "shop", **settings})
    [plan] = plan_of_config(config, Connection("shop"), [subscription]).consumers
    return plan


@pytest.mark.parametrize(
    ("options", "settings", "threads"),
    [
        ({}, {}, 100),
        ({"threads": 7}, {}, 7),
        ({}, {"THREADS_PER_SUBSCRIPTION": 5}, 5),
        ({}, {"SUBSCRIPTION_DEFAULTS": {"threads": 6}}, 6),
        ({"threads": 7}, {"THREADS_PER_SUBSCRIPTION": 5}, 7),
        ({}, {"ENGINE": "google"}, 2),
    ],
)
def test_a_hundred_messages_of_an_async_handler_run_at_once_unless_it_is_stated(
    options: Any, settings: dict[str, Any], threads: int
) -> None:
    assert planned(Subscription(handle, "orders", **options), **settings).threads == threads


@pytest.mark.parametrize(
    ("subscription", "engine", "is_on_loop"),
    [
        (Subscription(handle, "orders"), "rele", True),
        (Subscription(handle, "orders"), "google", False),
        (Subscription(print, "orders"), "rele", False),
        (Subscription(handle_batch, "orders", batch=Batch()), "rele", False),
    ],
)
def test_an_async_handler_runs_on_the_loop_of_its_engine(
    subscription: Subscription, engine: str, is_on_loop: bool
) -> None:
    plan = planned(subscription, ENGINE=engine)

    assert plan.is_on_loop is is_on_loop
    assert plan.threads == (100 if is_on_loop else 2)
