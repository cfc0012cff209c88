from __future__ import annotations

import asyncio
import inspect
import io
import itertools
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial, wraps
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from asgiref.sync import async_to_sync, sync_to_async

import rele.testing
from rele import Callback, Subscription, config, sub
from tests.support.deliveries import Delivery
from tests.support.recorder import Recorder

Deliver = Callable[..., Delivery]


async def coroutine(data: Any, **attributes: Any) -> Any:
    """A handler that has to be awaited."""
    await asyncio.sleep(0)
    return data, attributes


def generator(data: Any, **attributes: Any) -> Iterator[Any]:
    """A handler that has to be iterated over."""
    yield data


async def async_generator(data: Any, **attributes: Any) -> AsyncIterator[Any]:
    """A handler that has to be iterated over in a coroutine."""
    yield data


class Handlers:
    """The same as methods."""

    async def coroutine(self, data: Any, **attributes: Any) -> None: ...

    def generator(self, data: Any, **attributes: Any) -> Iterator[Any]:
        yield data

    async def async_generator(self, data: Any, **attributes: Any) -> AsyncIterator[Any]:
        yield data


class CoroutineObject:
    async def __call__(self, data: Any, **attributes: Any) -> None: ...


class GeneratorObject:
    def __call__(self, data: Any, **attributes: Any) -> Iterator[Any]:
        yield data


class AwaitableObject:
    """What a handler may return that is an awaitable, and no coroutine."""

    def __await__(self) -> Iterator[Any]:
        yield


class Bound:
    """A decorator that is a class, with a ``__get__`` so that it works on methods, too."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self._func = func

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return partial(self._func, instance)

    def __call__(self, body: Any, **attributes: Any) -> Any:
        return self._func(body, **attributes)


def passing_on(func: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that returns what the function returns, and so what has yet to be run."""

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


def running(func: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """A decorator that runs the coroutine."""

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            return await func(*args, **kwargs)

        return asyncio.run(run())

    return wrapper


NOT_RUN = [
    pytest.param(generator, "generator is a generator function", id="generator"),
    pytest.param(
        async_generator, "async_generator is an async generator function", id="async generator"
    ),
    pytest.param(
        Handlers().generator, "Handlers.generator is a generator function", id="generator method"
    ),
    pytest.param(
        Handlers().async_generator,
        "Handlers.async_generator is an async generator function",
        id="async generator method",
    ),
    pytest.param(
        GeneratorObject(),
        "GeneratorObject.__call__ is a generator function",
        id="generator object",
    ),
    pytest.param(partial(generator), "generator is a generator function", id="partial"),
]


class TestDeclaration:
    @pytest.mark.parametrize("declare", [sub("orders"), lambda func: Subscription(func, "orders")])
    @pytest.mark.parametrize(("handler", "problem"), NOT_RUN)
    def test_what_a_call_would_not_run_is_refused_with_the_remedy(
        self, declare: Callable[..., Any], handler: Callable[..., Any], problem: str
    ) -> None:
        with pytest.raises(RuntimeError, match=re.escape(problem)) as refusal:
            declare(handler)

        assert "async_to_sync" in str(refusal.value)

    @pytest.mark.parametrize("declare", [sub("orders"), lambda func: Subscription(func, "orders")])
    @pytest.mark.parametrize(
        "handler",
        [
            coroutine,
            Handlers().coroutine,
            CoroutineObject(),
            partial(coroutine, lang="en"),
            partial(CoroutineObject()),
            sync_to_async(lambda data, **attributes: None),
        ],
        ids=["function", "method", "object", "partial", "partial object", "sync_to_async"],
    )
    def test_what_is_awaited_is_an_async_handler(
        self, declare: Callable[..., Any], handler: Callable[..., Any]
    ) -> None:
        assert declare(handler).is_async

    def test_a_mock_of_one_is_an_async_handler(self) -> None:
        assert Subscription(AsyncMock(), "orders").is_async

    @pytest.mark.parametrize("handler", [running(coroutine), async_to_sync(coroutine), MagicMock()])
    def test_what_is_called_is_none(self, handler: Callable[..., Any]) -> None:
        assert not Subscription(handler, "orders").is_async

    def test_a_call_of_an_async_subscription_is_awaited(self) -> None:
        handle = sub("orders")(coroutine)

        assert asyncio.run(handle(1, lang="en")) == (1, {"lang": "en"})

    def test_a_filter_rejects_a_message_of_an_async_handler_when_it_is_awaited(self) -> None:
        handle = sub("orders", filter_by=lambda attributes: "lang" in attributes)(coroutine)

        assert asyncio.run(handle(1)) is None

    def test_a_subclass_with_an_async_method_is_async(self) -> None:
        class Orders(Subscription):
            def __init__(self) -> None:
                super().__init__(self.handle, "orders")

            async def handle(self, data: Any, **attributes: Any) -> Any:
                return data

        assert Orders().is_async
        assert asyncio.run(Orders()(1)) == 1

    @pytest.mark.parametrize("handler", [coroutine, lambda data, **attributes: (data, attributes)])
    def test_a_subclass_that_is_called_asynchronously_is_async(
        self, handler: Callable[..., Any]
    ) -> None:
        class Orders(Subscription):
            async def __call__(self, data: Any, /, **attributes: Any) -> Any:
                result = super().__call__(data, **attributes)
                return await result if inspect.isawaitable(result) else result

        orders = Orders(handler, "orders")

        assert orders.is_async
        assert asyncio.run(orders(1)) == (1, {})

    @pytest.mark.parametrize("declare", [sub("orders"), lambda func: Subscription(func, "orders")])
    @pytest.mark.parametrize(
        "remedy", [async_to_sync, running, lambda func: passing_on(async_to_sync(func))]
    )
    def test_a_synchronous_wrapper_that_runs_the_coroutine_is_a_handler(
        self, deliver: Deliver, declare: Callable[..., Any], remedy: Callable[..., Any]
    ) -> None:
        delivery = deliver(b"1", lang="en")

        result = Callback(declare(remedy(coroutine)))(delivery.message)

        assert result == (1, {"lang": "en"})
        assert delivery.settlements() == ["ack"]

    def test_a_wrapper_with_the_mark_of_what_it_wraps_is_a_handler(self) -> None:
        marked = sync_to_async(lambda data, **attributes: data)

        assert sub("orders")(running(marked))(1) == 1

    @pytest.mark.parametrize("through", [lambda func: func, passing_on])
    def test_what_runs_a_coroutine_is_judged_by_the_signature_of_that(
        self, through: Callable[..., Any]
    ) -> None:
        async def handle(data: Any) -> None: ...

        with pytest.raises(RuntimeError, match=r"handle must take one positional argument"):
            sub("orders")(through(async_to_sync(handle)))

    def test_a_subscription_checks_no_signature(self) -> None:
        assert Subscription(lambda *args, **kwargs: args, "orders")(1) == (1,)

    def test_a_decorator_that_is_a_class_with_a_get_is_a_handler(self) -> None:
        handle = sub("orders")(Bound(lambda data, **attributes: attributes))

        assert handle(1, body="x", self="y", lang="en") == {"lang": "en"}

    def test_attributes_named_like_parameters_of_what_runs_a_coroutine_are_left_out(self) -> None:
        handle = sub("orders")(async_to_sync(coroutine))

        assert handle(1, self="x", data="y", lang="en") == (1, {"lang": "en"})


class TestNames:
    def test_what_runs_a_coroutine_has_the_name_of_that(self) -> None:
        handle = Subscription(async_to_sync(coroutine), "orders")

        assert str(handle) == "orders - coroutine"
        assert handle.path == f"{__name__}.coroutine"

    def test_a_partial_has_the_name_of_its_function(self) -> None:
        handle = Subscription(partial(passing_on(coroutine), lang="en"), "orders")

        assert str(handle) == "orders - coroutine"
        assert handle.path == f"{__name__}.coroutine"

    def test_it_is_declared_where_that_is(self, caplog: pytest.LogCaptureFixture) -> None:
        async def handle(data: Any, **attributes: Any) -> None: ...

        handle.__module__ = "shop.subs"

        sub("orders")(async_to_sync(handle))

        assert caplog.text == ""

    def test_two_that_run_one_method_have_one_function(self) -> None:
        class Orders(Subscription):
            def __init__(self) -> None:
                super().__init__(async_to_sync(self.handle), "orders")

            async def handle(self, data: Any, **attributes: Any) -> None: ...

        assert Orders().has_function_of(Orders())


def returned(result: Any) -> Callable[..., Any]:
    return lambda data, **attributes: result


class TestResult:
    @pytest.mark.parametrize(
        ("handler", "what"),
        [
            (passing_on(coroutine), "a coroutine"),
            (passing_on(generator), "a generator"),
            (passing_on(async_generator), "an async generator"),
            (lambda data, **attributes: AwaitableObject(), "an awaitable"),
            (lambda data, **attributes: coroutine(data), "a coroutine"),
            (lambda data, **attributes: (each for each in [data]), "a generator"),
            (lambda data, **attributes: map(print, [data]), "a lazy iterator"),
            (lambda data, **attributes: filter(print, [data]), "a lazy iterator"),
            (lambda data, **attributes: zip(map(print, [data])), "a lazy iterator"),
            (lambda data, **attributes: itertools.starmap(print, [[data]]), "a lazy iterator"),
        ],
    )
    def test_what_has_yet_to_be_run_is_a_failure(
        self,
        hooks: Recorder,
        deliver: Deliver,
        handler: Callable[..., Any],
        what: str,
    ) -> None:
        delivery = deliver()

        assert Callback(sub("orders")(handler))(delivery.message) is None

        assert delivery.settlements() == ["nack"]
        error = hooks.arguments_of("post_process_message_failure")[1]
        assert isinstance(error, RuntimeError)
        assert f"The handler of orders - {handler.__name__} returned {what}" in str(error)
        assert "async_to_sync" in str(error)

    def test_one_error_is_logged(self, deliver: Deliver, caplog: pytest.LogCaptureFixture) -> None:
        config.setup({"GC_PROJECT_ID": "shop"})

        Callback(Subscription(passing_on(coroutine), "orders"))(deliver().message)

        [record] = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert record.exc_info is not None
        assert "returned a coroutine" in str(record.exc_info[1])

    def test_a_generator_is_closed_and_an_error_of_that_is_its_cause(
        self, hooks: Recorder, deliver: Deliver
    ) -> None:
        def begun() -> Iterator[int]:
            try:
                yield 1
            finally:
                raise OSError("the file is gone")

        iterator = begun()
        next(iterator)
        delivery = deliver()

        Callback(Subscription(returned(iterator), "orders"))(delivery.message)

        assert delivery.settlements() == ["nack"]
        error = hooks.arguments_of("post_process_message_failure")[1]
        assert isinstance(error, RuntimeError)
        assert isinstance(error.__cause__, OSError)

    @pytest.mark.parametrize(
        "result", [MagicMock(), iter([1]), io.StringIO(), [1], lambda: None, object()]
    )
    def test_anything_else_is_a_result(self, deliver: Deliver, result: Any) -> None:
        delivery = deliver()

        assert Callback(Subscription(returned(result), "orders"))(delivery.message) is result

        assert delivery.settlements() == ["ack"]

    def test_a_subscription_returns_it_as_it_is(self) -> None:
        iterator = Subscription(passing_on(generator), "orders")(1)

        assert list(iterator) == [1]

    def test_deliver_sees_the_failure(self) -> None:
        delivery = rele.testing.deliver(Subscription(passing_on(coroutine), "orders"), 1)

        assert (delivery.acked, delivery.nacked, delivery.result) == (False, True, None)
        assert "returned a coroutine" in str(delivery.exception)


class TestFilters:
    @pytest.mark.parametrize("handler", [coroutine, generator, CoroutineObject()])
    def test_one_that_a_call_would_not_run_is_refused(self, handler: Callable[..., Any]) -> None:
        with pytest.raises(ValueError, match="filter_by must return its answer when it is called"):
            Subscription(print, "orders", filter_by=handler)

    def test_a_coroutine_is_no_verdict(self, hooks: Recorder, deliver: Deliver) -> None:
        handled: list[Any] = []
        subscription = Subscription(
            lambda data, **attributes: handled.append(data),
            "orders",
            filter_by=lambda attributes: coroutine(1),
        )
        delivery = deliver()

        Callback(subscription)(delivery.message)

        assert handled == []
        assert delivery.settlements() == ["nack"]
        error = hooks.arguments_of("post_process_message_failure")[1]
        assert "A filter of orders - <lambda> returned a coroutine" in str(error)
