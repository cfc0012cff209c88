from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest

from rele import Callback, Subscription, sub
from rele.retry_policy import RetryPolicy
from tests.support.deliveries import Delivery
from tests.support.recorder import Recorder

Deliver = Callable[..., Delivery]


class CallableObject:
    """A handler that returns the attributes that reach it, and so does its method."""

    def __call__(self, data: Any, **attributes: Any) -> dict[str, Any]:
        return attributes

    def method(self, data: Any, **attributes: Any) -> dict[str, Any]:
        return attributes


def with_connection(connection: int, data: Any, **attributes: Any) -> dict[str, Any]:
    """A handler once ``connection`` is bound."""
    return attributes


def renaming(func: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator whose wrapper has a name of its own for the data."""

    @wraps(func)
    def wrapper(body: Any, **attributes: Any) -> Any:
        return func(body, **attributes)

    return wrapper


@pytest.fixture
def handler() -> Recorder:
    return Recorder(result="done")


class TestName:
    @pytest.mark.parametrize(
        ("prefix", "suffix", "name"),
        [
            (None, None, "photos"),
            ("", "", "photos"),
            ("shop", None, "shop-photos"),
            (None, "thumbs", "photos-thumbs"),
            ("shop", "thumbs", "shop-photos-thumbs"),
        ],
    )
    def test_joins_prefix_topic_and_suffix(
        self, prefix: str | None, suffix: str | None, name: str
    ) -> None:
        assert Subscription(print, "photos", prefix=prefix, suffix=suffix).name == name

    def test_a_prefix_is_set_where_the_declaration_gave_none(self) -> None:
        subscription = Subscription(print, "photos")

        subscription.set_prefix("shop")

        assert subscription.prefix == "shop"
        assert subscription.name == "shop-photos"

    def test_a_declared_prefix_stays(self) -> None:
        subscription = Subscription(print, "photos", prefix="own")

        subscription.set_prefix("shop")

        assert subscription.name == "own-photos"

    def test_the_text_is_the_name_and_the_function(self) -> None:
        def make_thumbnail(data: Any, **attributes: Any) -> None: ...

        subscription = Subscription(make_thumbnail, "photos", suffix="thumbs")

        assert str(subscription) == "photos-thumbs - make_thumbnail"
        assert repr(subscription) == "<Subscription photos-thumbs - make_thumbnail>"

    def test_the_path_says_where_the_function_is(self) -> None:
        assert (
            Subscription(Recorder.__call__, "photos").path
            == "tests.support.recorder.Recorder.__call__"
        )

    def test_an_object_that_is_called_has_the_name_of_its_class(self, handler: Recorder) -> None:
        assert str(Subscription(handler, "photos")) == "photos - Recorder"
        assert Subscription(handler, "photos").path == "tests.support.recorder.Recorder"


class TestCall:
    def test_hands_over_data_and_attributes_and_returns_the_result(self, handler: Recorder) -> None:
        assert Subscription(handler, "photos")({"id": 1}, lang="en") == "done"

        assert handler.calls == [({"id": 1}, {"lang": "en"})]

    def test_published_at_is_a_number(self, handler: Recorder) -> None:
        Subscription(handler, "photos")({}, published_at="1560244246.863829")

        assert handler.calls == [({}, {"published_at": 1560244246.863829})]

    def test_published_at_that_is_no_number_is_handed_over_as_it_is(
        self, handler: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        Subscription(handler, "photos")({}, published_at="yesterday")

        assert handler.calls == [({}, {"published_at": "yesterday"})]
        assert "published_at of a message for photos - Recorder is not a number" in caplog.text

    @pytest.mark.parametrize("name", ["data", "body"])
    def test_an_attribute_named_like_the_parameter_is_left_out(
        self, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        calls: list[Any] = []
        handlers = {
            "data": lambda data, **attributes: calls.append((data, attributes)),
            "body": lambda body, **attributes: calls.append((body, attributes)),
        }

        Subscription(handlers[name], "photos")(1, **{name: "x", "lang": "en"})

        assert calls == [(1, {"lang": "en"})]
        assert f"attribute named {name!r}" in caplog.text

    def test_an_attribute_named_self_reaches_a_function(self) -> None:
        calls: list[dict[str, Any]] = []

        Subscription(lambda data, **attributes: calls.append(attributes), "photos")(1, self="me")

        assert calls == [{"self": "me"}]

    def test_an_attribute_named_self_is_left_out_of_the_call_of_a_method(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Photos(Subscription):
            def __init__(self) -> None:
                super().__init__(self.handle, "photos")

            def handle(self, data: Any, **attributes: Any) -> Any:
                return attributes

        delivery = Delivery(b"1", {"self": "me", "data": "x", "lang": "en"})

        assert Callback(Photos())(delivery.message) == {"lang": "en"}

        assert delivery.settlements() == ["ack"]
        assert "attribute named 'self'" in caplog.text

    @pytest.mark.parametrize(
        ("handler", "left_out"),
        [
            pytest.param(CallableObject(), {"self", "data"}, id="object"),
            pytest.param(CallableObject().method, {"self", "data"}, id="method"),
            pytest.param(partial(with_connection, 1), {"connection", "data"}, id="partial"),
            pytest.param(partial(CallableObject().method), {"self", "data"}, id="partial method"),
            pytest.param(renaming(lambda data, **attrs: attrs), {"body", "data"}, id="wrapped"),
            pytest.param(renaming(CallableObject()), {"body", "data", "self"}, id="wrapped object"),
        ],
    )
    def test_what_any_kind_of_callable_is_given_by_position_is_left_out(
        self, handler: Callable[..., Any], left_out: set[str]
    ) -> None:
        names = {"self", "cls", "data", "body", "connection", "message"}

        seen = Subscription(handler, "photos")(1, **dict.fromkeys(names, "x"))

        assert seen.keys() == names - left_out

    def test_any_attribute_reaches_a_function_with_a_positional_only_parameter(self) -> None:
        calls: list[Any] = []

        def handle(data: Any, /, **attributes: Any) -> None:
            calls.append((data, attributes))

        Subscription(handle, "photos")(1, data="x")

        assert calls == [(1, {"data": "x"})]

    def test_a_subclass_handles_messages_by_its_method(self) -> None:
        class CountSub(Subscription):
            topic = "photos"
            seen: list[Any] = []  # noqa: RUF012 - as the documentation's example might

            def __init__(self) -> None:
                self._func = self.callback_func
                super().__init__(self._func, self.topic)

            def callback_func(self, data: Any, **kwargs: Any) -> None:
                self.seen.append((data, kwargs))

        CountSub()(1, lang="en")

        assert CountSub.seen == [(1, {"lang": "en"})]
        assert CountSub().name == "photos"


class TestFilters:
    def test_an_attribute_named_self_does_not_reach_an_object_that_filters(self) -> None:
        class IsEnglish:
            def __call__(self, **attributes: Any) -> bool:
                return attributes == {"lang": "en"}

        subscription = Subscription(
            lambda data, **attrs: "handled", "photos", filter_by=IsEnglish()
        )

        assert subscription(1, lang="en", self="me") == "handled"

    @pytest.mark.parametrize(
        "is_landscape",
        [
            lambda attrs: attrs.get("shape") == "landscape",
            lambda **attrs: attrs.get("shape") == "landscape",
            lambda attrs, **rest: attrs.get("shape") == "landscape",
            lambda *args: args[0].get("shape") == "landscape",
            lambda *, shape=None, **rest: shape == "landscape",
        ],
    )
    def test_may_take_a_dict_or_keywords(
        self, handler: Recorder, is_landscape: Callable[..., bool]
    ) -> None:
        subscription = Subscription(handler, "photos", filter_by=is_landscape)

        assert subscription(1, shape="portrait") is None
        assert subscription(2, shape="landscape") == "done"
        assert subscription(3) is None

        assert [data for data, _ in handler.calls] == [2]

    @pytest.mark.parametrize("container", [list, tuple, iter])
    def test_all_of_several_must_let_a_message_pass(
        self, handler: Recorder, container: Callable[[Any], Any]
    ) -> None:
        filters = container([lambda attrs: "a" in attrs, lambda **attrs: "b" in attrs])
        subscription = Subscription(handler, "photos", filter_by=filters)

        for number, names in enumerate(["", "a", "b", "ab", "ab"]):
            subscription(number, **dict.fromkeys(names, "x"))

        assert [data for data, _ in handler.calls] == [3, 4]
        assert len(subscription.filter_by) == 2

    def test_see_published_at_as_a_number(self, handler: Recorder) -> None:
        subscription = Subscription(
            handler, "photos", filter_by=lambda attrs: attrs["published_at"] > 10
        )

        subscription(1, published_at="9")
        subscription(2, published_at="11")

        assert [data for data, _ in handler.calls] == [2]

    def test_a_filter_that_changes_its_dict_changes_nothing_for_a_keyword_filter(
        self, handler: Recorder
    ) -> None:
        def drop_keyword(**attrs: Any) -> bool:
            attrs.clear()
            return True

        Subscription(handler, "photos", filter_by=drop_keyword)(1, lang="en")

        assert handler.calls == [(1, {"lang": "en"})]

    def test_are_set_where_the_declaration_gave_none(self, handler: Recorder) -> None:
        subscription = Subscription(handler, "photos")

        subscription.set_filters([lambda attrs: False])

        assert subscription(1) is None
        assert handler.calls == []

    def test_that_were_declared_stay(self, handler: Recorder) -> None:
        subscription = Subscription(handler, "photos", filter_by=lambda attrs: True)

        subscription.set_filters(lambda attrs: False)

        assert subscription(1) == "done"

    @pytest.mark.parametrize("wrong", [1, "abc", [print, None]])
    def test_that_cannot_be_called_are_refused_where_they_are_declared(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="filter_by must be a callable or an iterable"):
            Subscription(print, "photos", filter_by=wrong)


class TestSub:
    def test_makes_a_subscription_of_the_function(self) -> None:
        policy = RetryPolicy(1, 2)

        @sub(
            topic="photos",
            prefix="shop",
            suffix="thumbs",
            filter_by=lambda attrs: "id" in attrs,
            backend_filter_by='attributes.type = "landscape"',
            retry_policy=policy,
        )
        def handle(data: Any, **attributes: Any) -> Any:
            return data, attributes

        assert handle.name == "shop-photos-thumbs"
        assert handle.topic == "photos"
        assert handle.backend_filter_by == 'attributes.type = "landscape"'
        assert handle.retry_policy == policy
        assert handle(1) is None
        assert handle(1, id="x") == (1, {"id": "x"})

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda: None,
            lambda data: None,
            lambda **attributes: None,
            lambda data, more, **attributes: None,
            lambda *args, **attributes: None,
        ],
    )
    def test_refuses_a_function_that_cannot_take_a_message(self, wrong: Any) -> None:
        with pytest.raises(RuntimeError, match=r"must take one positional argument.*\*\*kwargs"):
            sub("photos")(wrong)

    def test_refuses_to_decorate_without_a_topic(self) -> None:
        def handle(data: Any, **attributes: Any) -> None: ...

        with pytest.raises(
            TypeError, match=r'@sub over .*\.handle names no topic: .*@sub\(topic="'
        ):
            sub(handle)

    @pytest.mark.parametrize("declare", [sub, lambda topic: Subscription(print, topic)])
    @pytest.mark.parametrize("topic", [None, 1, b"photos"])
    def test_a_topic_that_is_no_string_is_refused(
        self, declare: Callable[[Any], Any], topic: Any
    ) -> None:
        with pytest.raises(TypeError, match=r"topic must be the name of a topic, a string, not"):
            declare(topic)

    @pytest.mark.parametrize(
        "handler",
        [
            lambda data, **attributes: data,
            lambda data, /, **attributes: data,
            lambda data=None, **attributes: data,
            lambda data, *, lang=None, **attributes: data,
        ],
    )
    def test_takes_every_function_that_can(self, handler: Any) -> None:
        assert sub("photos")(handler)(1, other="x") == 1

    def test_takes_a_decorated_function(self) -> None:
        def logged(func: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(func)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return func(*args, **kwargs)

            return wrapper

        @sub("photos")
        @logged
        def handle(data: Any, **attributes: Any) -> Any:
            return data

        assert handle(1, data="x") == 1

    def test_warns_outside_of_a_subs_module(self, caplog: pytest.LogCaptureFixture) -> None:
        def handle(data: Any, **attributes: Any) -> None: ...

        sub("photos")(handle)

        assert "handle is declared outside of a `subs` module" in caplog.text

    @pytest.mark.parametrize("module", ["subs", "shop.subs", "shop.subs.photos"])
    def test_does_not_warn_within(self, module: str, caplog: pytest.LogCaptureFixture) -> None:
        def handle(data: Any, **attributes: Any) -> None: ...

        handle.__module__ = module

        sub("photos")(handle)

        assert caplog.text == ""
