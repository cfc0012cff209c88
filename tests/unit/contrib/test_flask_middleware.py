from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, current_app, g, has_app_context

import rele
from rele import Batch, BatchMessage, Callback, Subscription
from rele.exceptions import ConfigurationError
from rele.testing import deliver as deliver_now
from tests.support.deliveries import Delivery
from tests.support.recorder import raising

Deliver = Callable[..., Delivery]

SETTINGS = {"MIDDLEWARE": ["rele.contrib.FlaskMiddleware"]}


@pytest.fixture
def app() -> Flask:
    """The application that Relé is set up with."""
    app = Flask("shop")
    rele.setup(SETTINGS, flask_app=app)
    return app


def test_without_the_application_it_says_how_to_give_it() -> None:
    with pytest.raises(ConfigurationError, match=r"rele\.setup\(RELE, flask_app=app\)"):
        rele.setup(SETTINGS)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("error", [ValueError(), SystemExit(1), KeyboardInterrupt()])
def test_a_handler_that_raises_leaves_no_context_behind(
    deliver: Deliver, error: BaseException
) -> None:
    delivery = deliver()

    Callback(Subscription(raising(error), "photos"))(delivery.message)

    assert not has_app_context()
    assert delivery.settlements() == ["nack"]


@pytest.mark.usefixtures("app")
def test_a_filter_runs_in_the_context_too(deliver: Deliver) -> None:
    names: list[str] = []

    def filter_by(attributes: dict[str, Any]) -> bool:
        names.append(current_app.name)
        return False

    Callback(Subscription(raising(ValueError()), "photos", filter_by=filter_by))(deliver().message)

    assert names == ["shop"]
    assert not has_app_context()


def test_what_the_application_tears_down_is_torn_down_after_each_message(
    app: Flask, deliver: Deliver
) -> None:
    torn_down: list[int] = []
    app.teardown_appcontext(lambda error: torn_down.append(g.number))

    def handle(data: Any, **attributes: Any) -> None:
        g.number = data
        assert len(torn_down) == data

    for number in (b"0", b"1"):
        Callback(Subscription(handle, "photos"))(deliver(number).message)

    assert torn_down == [0, 1]


def test_messages_at_one_time_have_contexts_of_their_own(app: Flask, deliver: Deliver) -> None:
    both_run = threading.Barrier(2)
    seen: list[tuple[int, int]] = []

    def handle(data: Any, **attributes: Any) -> None:
        g.number = data
        both_run.wait(10)
        seen.append((data, g.number))

    sub = Subscription(handle, "photos")
    threads = [
        threading.Thread(target=Callback(sub), args=[deliver(number).message])
        for number in (b"1", b"2")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(seen) == [(1, 1), (2, 2)]


def test_the_end_of_a_message_that_had_no_context_is_fine(app: Flask) -> None:
    from rele.middleware import run_middleware_hook

    with app.app_context():
        run_middleware_hook("post_process_message")

        assert current_app.name == "shop"


def test_a_handler_of_batches_has_a_context_for_each_batch(app: Flask) -> None:
    contexts: list[int] = []
    torn_down: list[int] = []
    app.teardown_appcontext(lambda error: torn_down.append(g.number))

    def handle(messages: list[BatchMessage]) -> None:
        g.number = len(messages)
        contexts.append(g.number)

    batches: Subscription = Subscription(handle, "photos", batch=Batch())

    deliver_now(batches, [1, 2, 3])
    deliver_now(batches, [4])

    assert contexts == torn_down == [3, 1]
    assert not has_app_context()


def test_messages_of_an_async_handler_have_a_context_each(app: Flask, deliver: Deliver) -> None:
    popped: list[Any] = []
    app.teardown_appcontext(lambda error: popped.append(g.number))

    async def handle(data: Any, **attributes: Any) -> Any:
        g.number = data
        await asyncio.sleep(0)
        return g.number

    callback = Callback(Subscription(handle, "orders"))

    async def main() -> list[Any]:
        messages = [deliver(str(number).encode()).message for number in range(3)]
        tasks = [asyncio.create_task(callback.handle_async(each, print)) for each in messages]
        return [(await each).result for each in tasks]

    assert asyncio.run(main()) == [0, 1, 2]
    assert sorted(popped) == [0, 1, 2]
    assert not has_app_context()
