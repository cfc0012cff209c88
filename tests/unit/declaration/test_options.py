from __future__ import annotations

import inspect
import json
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest

from rele import Batch, DeadLetterPolicy, RetryPolicy, Subscription, sub
from rele.declaration.options import OPTIONS, Options, SubscriptionOptions

RIGHT: dict[str, list[Any]] = {
    "backend_filter_by": ["attributes:lang"],
    "retry_policy": [RetryPolicy(1, 2)],
    "ack_deadline": [10, 600],
    "dead_letter_policy": [DeadLetterPolicy()],
    "enable_message_ordering": [True, False],
    "enable_exactly_once_delivery": [True, False],
    "message_retention_duration": [600, 2678400.0, timedelta(days=31)],
    "retain_acked_messages": [True, False],
    "expiration_policy": [86400, timedelta(days=1), "never"],
    "labels": [{}, {"team": "shop", "cost-centre_1": "", "größe": "l"}],
    "codec": ["bytes", "json", len],
    "threads": [1, 100],
    "max_messages": [1, 5000],
    "max_bytes": [1],
    "flow": ["adaptive", "fixed"],
    "streams": [1, 4],
    "max_lease_duration": [0.5, timedelta(hours=2)],
    "batch": [Batch(), Batch(500, timedelta(seconds=1))],
}
WRONG: dict[str, list[Any]] = {
    "backend_filter_by": [1],
    "retry_policy": [10],
    "ack_deadline": [9, 601, 60.0, True],
    "dead_letter_policy": ["failures"],
    "enable_message_ordering": [1, "yes"],
    "enable_exactly_once_delivery": ["no"],
    "message_retention_duration": [599, 2678401, timedelta(days=32), "7 days", float("nan")],
    "retain_acked_messages": [0],
    "expiration_policy": [86399, "Never", timedelta(hours=1)],
    "labels": [
        ["team"],
        {"Team": "shop"},
        {"1": "shop"},
        {"team": "Shop"},
        {"team": 1},
        {"": "shop"},
        {"team": "x" * 64},
        {f"team-{number}": "" for number in range(65)},
    ],
    "codec": ["utf-8", 1, b"bytes", AsyncMock(), json.JSONEncoder, lambda: None],
    "threads": [0, 2.0, True],
    "max_messages": [0, -1],
    "max_bytes": [0, 1.5],
    "flow": ["automatic", 1000],
    "streams": [0, 1.5],
    "max_lease_duration": [0, -1, "1 h", timedelta(0)],
    "batch": [500, True, {"max_messages": 500}],
}


def each(values: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, value) for name in values for value in values[name]]


def test_every_option_is_tried() -> None:
    assert set(RIGHT) == set(WRONG) == set(OPTIONS) == set(Options.__annotations__)


@pytest.mark.parametrize("declare", [sub, Subscription])
def test_every_option_is_an_argument_of_a_declaration(declare: Any) -> None:
    parameters = inspect.signature(declare).parameters

    of_the_reference = {"backend_filter_by", "retry_policy"}
    assert set(OPTIONS) <= set(parameters)
    for name in set(OPTIONS) - of_the_reference:
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default is None


@pytest.mark.parametrize(("name", "value"), each(RIGHT))
def test_what_is_declared_can_be_read(name: str, value: Any) -> None:
    @sub("photos", **{name: value})
    def handle(data: Any, **kwargs: Any) -> None: ...

    assert handle.options.stated() == {name: value}


@pytest.mark.parametrize(("name", "value"), each(WRONG))
def test_what_pubsub_would_refuse_is_refused_where_it_is_declared(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} (must be|is out of range).* Write {name}="):
        SubscriptionOptions(**{name: value})


@pytest.mark.parametrize(("name", "value"), each(WRONG))
def test_a_declaration_refuses_it_too(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} (must be|is out of range)"):
        Subscription(print, "photos", **{name: value})


@pytest.mark.parametrize("name", OPTIONS)
def test_what_the_error_says_to_write_can_be_written(name: str) -> None:
    names = {
        "Batch": Batch,
        "DeadLetterPolicy": DeadLetterPolicy,
        "RetryPolicy": RetryPolicy,
        "timedelta": timedelta,
    }

    value = eval(OPTIONS[name].example, names)

    assert SubscriptionOptions(**{name: value}).stated() == {name: value}  # type: ignore[misc]


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_an_attribute(name: str) -> None:
    [value, *_] = RIGHT[name]

    assert getattr(SubscriptionOptions(**{name: value}), name) == value  # type: ignore[misc]
    assert getattr(SubscriptionOptions(), name) is None


def test_what_is_no_option_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"no option 'thread'. Did you mean 'threads'\?"):
        SubscriptionOptions(thread=2)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="no option 'thread'"):
        _ = SubscriptionOptions().thread


def test_options_that_state_the_same_are_equal() -> None:
    assert SubscriptionOptions(threads=2, labels=None) == SubscriptionOptions(threads=2)
    assert SubscriptionOptions(threads=2) != SubscriptionOptions(threads=3)
    assert repr(SubscriptionOptions(threads=2)) == "SubscriptionOptions(threads=2)"


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.field])
def test_the_field_of_an_option_is_one_of_a_subscription_on_the_server(name: str) -> None:
    from google.cloud import pubsub_v1

    assert OPTIONS[name].field in pubsub_v1.types.Subscription.meta.fields


def test_the_error_is_that_of_the_declaration() -> None:
    with pytest.raises(ValueError, match="threads is out of range"):
        Subscription(print, "photos", threads=0)


def test_nothing_is_stated_by_default() -> None:
    assert Subscription(print, "photos").options.stated() == {}


def test_what_is_stated_goes_over_the_defaults() -> None:
    declared = SubscriptionOptions(threads=4, retain_acked_messages=False)
    defaults = SubscriptionOptions(threads=2, retain_acked_messages=True, max_messages=50)

    effective = declared.over(defaults)

    assert effective.stated() == {
        "threads": 4,
        "retain_acked_messages": False,
        "max_messages": 50,
    }
