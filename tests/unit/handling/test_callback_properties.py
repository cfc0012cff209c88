"""Whatever arrives and whatever is raised: nothing escapes, and a message is settled once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rele import Callback, Subscription
from tests.support.deliveries import Delivery
from tests.support.in_use import register
from tests.support.recorder import Recorder


class OwnError(BaseException):
    """Outside of the hierarchy that one usually catches."""


class UnprintableError(Exception):
    """A failure that fails again where it is looked at."""

    def __str__(self) -> str:
        raise OwnError

    __repr__ = __str__


Behaviour = Callable[[Delivery], Callable[..., object]]

HOOKS = (
    "pre_process_message",
    "post_process_message_success",
    "post_process_message_failure",
    "post_process_message",
)
METHODS = ("ack", "nack", "drop", "ack_with_response", "nack_with_response")

errors = st.one_of(
    st.builds(ValueError, st.text()),
    st.builds(RecursionError),
    st.builds(StopIteration),
    st.builds(KeyboardInterrupt),
    st.builds(SystemExit, st.none() | st.integers() | st.text()),
    st.builds(GeneratorExit),
    st.builds(OwnError),
    st.builds(UnprintableError),
)
json_payloads = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=3
).map(lambda data: json.dumps(data).encode())
payloads = st.binary() | json_payloads
attributes = st.dictionaries(
    st.text() | st.sampled_from(["data", "self", "published_at", "message"]),
    st.text() | st.floats().map(str),
    max_size=5,
)


@st.composite
def behaviours(draw: st.DrawFn) -> Behaviour:
    """What a handler, filter or hook does: settle the message a few times, then raise or not."""
    methods = draw(st.lists(st.sampled_from(METHODS), max_size=2))
    error = draw(st.none() | errors)
    result = draw(st.booleans())

    def bind(delivery: Delivery) -> Callable[..., object]:
        def behave(*args: object, **kwargs: object) -> object:
            for method in methods:
                getattr(delivery.message, method)()
            if error is not None:
                raise error
            return result

        return behave

    return bind


@given(payloads, attributes)
def test_nothing_that_arrives_escapes_and_it_is_settled_once(
    payload: bytes, attributes: dict[str, str]
) -> None:
    delivery = Delivery(payload, attributes)
    handled: list[object] = []

    Callback(Subscription(lambda data, **attrs: handled.append(data), "photos"))(delivery.message)

    assert delivery.settlements() == ["ack"]
    assert len(handled) == is_json(payload)


@given(
    payloads,
    behaviours(),
    behaviours(),
    st.dictionaries(st.sampled_from(HOOKS), behaviours()),
)
def test_nothing_that_is_raised_escapes_and_the_message_is_settled_once(
    payload: bytes,
    handler: Behaviour,
    filter_: Behaviour,
    hook_actions: dict[str, Behaviour],
) -> None:
    delivery = Delivery(payload, {})
    hooks = Recorder()
    hooks.actions = {name: action(delivery) for name, action in hook_actions.items()}
    subscription = Subscription(handler(delivery), "photos", filter_by=filter_(delivery))

    register(hooks)
    Callback(subscription)(delivery.message)

    assert len(delivery.settlements()) == 1
    assert hooks.names[0] == "pre_process_message"
    assert hooks.names[-1] == "post_process_message"
    assert len(hooks.names) == 3


def is_json(payload: bytes) -> bool:
    try:
        json.loads(payload.decode("utf-8"))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("method", METHODS)
def test_the_message_is_as_it_came_when_the_callback_is_done(method: str) -> None:
    delivery = Delivery(b"1", {})
    before = dict(vars(delivery.google_message))

    Callback(Subscription(lambda data, **attrs: None, "photos"))(delivery.google_message)
    delivery.settlements()
    getattr(delivery.google_message, method)()

    assert vars(delivery.google_message) == before
    assert delivery.settlements() == [method.removesuffix("_with_response")]
