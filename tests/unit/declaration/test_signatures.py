from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any, get_type_hints

import pytest

from rele import RetryPolicy, Subscription, sub
from rele.declaration.options import KEYWORD_ONLY, OPTIONS

SHOWN = pytest.mark.parametrize("function", [sub, Subscription, Subscription.__init__])


def handle(data: Any, **attributes: Any) -> None: ...


class OfOneTopic(Subscription):
    """A subclass with a constructor of its own."""

    def __init__(self, suffix: str) -> None:
        super().__init__(handle, "photos", suffix=suffix)


class OfAnyTopic(Subscription):
    """A subclass without."""


@SHOWN
def test_the_signature_has_each_option_with_its_type(function: Any) -> None:
    parameters = inspect.signature(function).parameters

    assert set(OPTIONS) <= set(parameters)
    assert parameters["threads"].annotation == int | None
    assert parameters["max_lease_duration"].annotation == float | timedelta | None
    assert parameters["retry_policy"].annotation == RetryPolicy | None
    assert parameters["topic"].annotation is str
    assert "options" not in parameters
    for name in KEYWORD_ONLY:
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default is None


def test_a_subclass_shows_its_own_constructor() -> None:
    assert list(inspect.signature(OfOneTopic).parameters) == ["suffix"]
    assert inspect.signature(OfAnyTopic) == inspect.signature(Subscription)
    assert "__signature__" not in vars(Subscription)


@pytest.mark.parametrize("function", [sub, Subscription.__init__])
def test_the_types_can_be_looked_up(function: Any) -> None:
    assert get_type_hints(function)["topic"] is str


@pytest.mark.parametrize("function", [sub, Subscription.__init__])
def test_the_docstring_describes_each_option(function: Any) -> None:
    described = " ".join(function.__doc__.split())

    for name, option in OPTIONS.items():
        assert f"{name}: {option.documentation}." in described


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("thread", "threads"), ("sufix", "suffix"), ("ack_deadline_seconds", "ack_deadline")],
)
def test_an_unknown_argument_is_named_with_the_nearest_one(wrong: str, right: str) -> None:
    arguments: dict[str, Any] = {wrong: 1}
    expected = rf"got an unexpected keyword argument '{wrong}'. Did you mean '{right}'\?$"

    with pytest.raises(TypeError, match=rf"^sub\(\) {expected}"):
        sub("photos", **arguments)
    with pytest.raises(TypeError, match=rf"^Subscription.__init__\(\) {expected}"):
        Subscription(handle, "photos", **arguments)


def test_the_options_of_the_reference_can_be_given_by_position_and_no_others() -> None:
    policy = RetryPolicy(1, 2)
    declared = Subscription(handle, "photos", "", "", None, "attributes:id", policy)

    assert declared.options.stated() == {
        "backend_filter_by": "attributes:id",
        "retry_policy": policy,
    }
    with pytest.raises(TypeError, match="positional"):
        Subscription(handle, "photos", "", "", None, None, policy, 60)  # type: ignore[call-arg]
