"""A message of an async handler, handled in an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import pytest

from rele import Callback, Subscription
from rele.declaration.hooks import no_io
from rele.exceptions import DeadLetter, DecodeError, Drop, Retry
from rele.handling.current import current_message
from rele.handling.handle import Outcome
from rele.handling.handle import outcome_of as outcome_of_handling
from rele.handling.handle_async import process_async
from rele.handling.settlement import SettlementPolicy
from rele.middleware import BaseMiddleware, per_thread
from tests.support.deliveries import Delivery
from tests.support.in_use import register
from tests.support.recorder import Recorder

Deliver = Callable[..., Delivery]
Handler = Callable[..., Coroutine[Any, Any, Any]]


def run_in_thread(function: Callable[[], object]) -> None:
    threading.Thread(target=function, name="of the message").start()


async def outcome_of(delivery: Delivery, handler: Handler, **policy: Any) -> Outcome:
    subscription = Subscription(handler, "photos")
    policy_of_test = SettlementPolicy(subscription, **policy)
    return outcome_of_handling(
        await process_async(delivery.message, subscription, policy_of_test, run_in_thread)
    )


async def done(data: Any, **attributes: Any) -> str:
    await asyncio.sleep(0)
    return "done"


def failing(error: BaseException) -> Handler:
    async def fail(data: Any, **attributes: Any) -> None:
        await asyncio.sleep(0)
        raise error

    return fail


def test_of_success_the_result_and_the_ack_are_known(hooks: Recorder, deliver: Deliver) -> None:
    outcome = asyncio.run(outcome_of(deliver(), done))

    assert outcome == Outcome(result="done", error=None, settled_as="ack", skipped=None)
    assert hooks.names == [
        "pre_process_message",
        "post_process_message_success",
        "post_process_message",
    ]


@pytest.mark.parametrize(
    ("error", "settled_as"),
    [
        (ValueError("boo"), "nack"),
        (SystemExit(1), "nack"),
        (asyncio.CancelledError(), "nack"),
        (Drop(), "ack"),
        (Retry(30), "drop"),
    ],
    ids=repr,
)
def test_of_a_failure_the_error_and_the_settlement_are_known(
    hooks: Recorder, deliver: Deliver, error: BaseException, settled_as: str
) -> None:
    outcome = asyncio.run(outcome_of(deliver(), failing(error)))

    assert (outcome.result, outcome.error, outcome.settled_as) == (None, error, settled_as)
    assert hooks.arguments_of("post_process_message_failure")[1] is error


def test_a_payload_that_cannot_be_decoded_is_an_error(deliver: Deliver) -> None:
    outcome = asyncio.run(outcome_of(deliver(b"\xff"), done))

    assert isinstance(outcome.error, DecodeError)
    assert outcome.settled_as == "ack"


def test_a_coroutine_as_the_result_is_a_failure(deliver: Deliver) -> None:
    async def handle(data: Any, **attributes: Any) -> Any:
        return done(data)

    outcome = asyncio.run(outcome_of(deliver(), handle))

    assert "returned a coroutine" in str(outcome.error)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_whatever_a_handler_raises_the_message_has_failed(
    deliver: Deliver, error: type[BaseException], waits: bool
) -> None:
    async def handle(data: Any, **attributes: Any) -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    outcome = asyncio.run(outcome_of(deliver(), handle))

    assert isinstance(outcome.error, error)
    assert outcome.settled_as == "nack"


@pytest.mark.parametrize(
    ("attempt", "error"), [(1, DeadLetter()), (5, ValueError())], ids=["asked for", "at last"]
)
def test_a_dead_letter_is_published_in_a_thread(
    deliver: Deliver, attempt: int, error: Exception
) -> None:
    threads: list[str] = []

    outcome = asyncio.run(
        outcome_of(
            deliver(attempt=attempt),
            failing(error),
            max_attempts=5,
            send_to_dead_letters=lambda message, _: threads.append(threading.current_thread().name),
        )
    )

    assert outcome.settled_as == "ack"
    assert threads == ["of the message"]


def test_a_cancelled_task_cancels_the_handler_and_nacks_the_message(deliver: Deliver) -> None:
    ended: list[str] = []
    delivery = deliver()

    async def handle(data: Any, **attributes: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cleaned up")

    async def main() -> Outcome:
        task = asyncio.create_task(outcome_of(delivery, handle))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        return await task

    outcome = asyncio.run(main())

    assert isinstance(outcome.error, asyncio.CancelledError)
    assert outcome.settled_as == "nack"
    assert ended == ["cleaned up"]


def test_the_current_message_is_that_of_the_task_and_of_the_tasks_it_creates(
    deliver: Deliver,
) -> None:
    async def number() -> str:
        await asyncio.sleep(0)
        message = current_message()
        assert message is not None
        return message.attributes["number"]

    async def handle(data: Any, **attributes: Any) -> list[str]:
        return [await number(), *await asyncio.gather(number(), number())]

    async def main() -> list[Any]:
        outcomes = await asyncio.gather(
            *(outcome_of(deliver(number=str(each)), handle) for each in range(3))
        )
        return [each.result for each in outcomes]

    assert asyncio.run(main()) == [["0"] * 3, ["1"] * 3, ["2"] * 3]


class TestConfirmedAcks:
    @pytest.fixture
    def confirmed(self, deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> Future[Any]:
        self.delivery = deliver()
        response: Future[Any] = Future()
        monkeypatch.setattr(self.delivery.google_message, "ack_with_response", lambda: response)
        return response

    def test_a_response_is_awaited(self, confirmed: Future[Any], hooks: Recorder) -> None:
        async def main() -> Outcome:
            asyncio.get_running_loop().call_later(0.01, confirmed.set_result, None)
            return await outcome_of(self.delivery, done, confirms_acks=True)

        assert asyncio.run(main()).settled_as == "ack"
        assert "post_ack_failure" not in hooks.names

    @pytest.mark.parametrize("error", [ValueError("INVALID"), None], ids=["failed", "none"])
    def test_a_failure_is_reported(
        self,
        confirmed: Future[Any],
        hooks: Recorder,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception | None,
    ) -> None:
        monkeypatch.setattr("rele.handling.handle_async.ACK_TIMEOUT", 0.01)
        if error is not None:
            confirmed.set_exception(error)

        asyncio.run(outcome_of(self.delivery, done, confirms_acks=True))

        reported = hooks.arguments_of("post_ack_failure")[1]
        assert reported is error or isinstance(reported, TimeoutError)
        assert not confirmed.cancelled()


value: contextvars.ContextVar[str] = contextvars.ContextVar("value", default="unset")


class Noting(BaseMiddleware):
    """Notes in which thread its hooks run."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def note(self, hook: str) -> None:
        self.calls.append((hook, threading.current_thread().name))


class TestPlaces:
    @pytest.fixture(autouse=True)
    def _names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(threading.main_thread(), "name", "of the loop")

    def test_a_hook_that_does_no_io_runs_in_the_loop_and_others_in_one_thread(
        self, deliver: Deliver
    ) -> None:
        class Middleware(Noting):
            @no_io
            def pre_process_message(self, *args: Any) -> None:
                self.note("before")

            def post_process_message_success(self, *args: Any) -> None:
                self.note("success")

            async def post_process_message(self) -> None:  # type: ignore[override]
                await asyncio.sleep(0)
                self.note("after")

        middleware = Middleware()
        register(middleware)

        asyncio.run(outcome_of(deliver(), done))

        assert middleware.calls == [
            ("before", "of the loop"),
            ("success", "of the message"),
            ("after", "of the loop"),
        ]

    def test_a_hook_of_the_thread_does_not_run_without_one(self, deliver: Deliver) -> None:
        class Middleware(Noting):
            @per_thread
            def pre_process_message(self, *args: Any) -> None:
                self.note("before")

            @per_thread
            def post_process_message(self) -> None:
                self.note("after")

        middleware = Middleware()
        register(middleware)

        asyncio.run(outcome_of(deliver(), done))

        assert middleware.calls == []

    def test_hooks_of_the_thread_run_around_all_others_in_it(self, deliver: Deliver) -> None:
        class Middleware(Noting):
            @per_thread
            def pre_process_message(self, *args: Any) -> None:
                self.note("before")

            def post_process_message_success(self, *args: Any) -> None:
                self.note("success")

            @per_thread
            def post_process_message(self) -> None:
                self.note("after")

        middleware = Middleware()
        register(middleware)

        asyncio.run(outcome_of(deliver(), done))

        assert middleware.calls == [
            ("before", "of the message"),
            ("success", "of the message"),
            ("after", "of the message"),
        ]

    def test_hooks_run_in_the_order_of_the_middlewares_wherever_they_run(
        self, deliver: Deliver
    ) -> None:
        order: list[str] = []

        class InLoop(BaseMiddleware):
            @no_io
            def pre_process_message(self, *args: Any) -> None:
                order.append("in the loop")

        class Idle(BaseMiddleware): ...

        class InThread(BaseMiddleware):
            def pre_process_message(self, *args: Any) -> None:
                order.append("in a thread")

        class Awaited(BaseMiddleware):
            async def pre_process_message(self, *args: Any) -> None:  # type: ignore[override]
                await asyncio.sleep(0)
                order.append("awaited")

        register(InLoop(), Idle(), InThread(), InLoop(), Awaited(), InThread())

        asyncio.run(outcome_of(deliver(), done))

        assert order == [
            "in the loop",
            "in a thread",
            "in the loop",
            "awaited",
            "in a thread",
        ]

    def test_what_a_hook_sets_in_the_context_counts_for_the_handler(self, deliver: Deliver) -> None:
        class Middleware(BaseMiddleware):
            def pre_process_message(self, *args: Any) -> None:
                value.set("of the hook")

        register(Middleware())

        async def handle(data: Any, **attributes: Any) -> str:
            return value.get()

        assert asyncio.run(outcome_of(deliver(), handle)).result == "of the hook"

    @pytest.mark.parametrize("is_async", [True, False])
    def test_an_error_of_a_hook_is_logged_and_everything_continues(
        self, deliver: Deliver, caplog: pytest.LogCaptureFixture, is_async: bool
    ) -> None:
        class Middleware(BaseMiddleware):
            def pre_process_message(self, *args: Any) -> None:
                raise ValueError("boo")

        class Asynchronous(BaseMiddleware):
            async def pre_process_message(self, *args: Any) -> None:  # type: ignore[override]
                raise ValueError("boo")

        register(Asynchronous() if is_async else Middleware())

        assert asyncio.run(outcome_of(deliver(), done)).settled_as == "ack"
        assert "raised ValueError('boo'); everything else continues" in caplog.text


class TestACallback:
    def test_runs_an_async_handler_to_its_end(self, deliver: Deliver) -> None:
        delivery = deliver()

        assert Callback(Subscription(done, "photos"))(delivery.message) == "done"
        assert delivery.settlements() == ["ack"]

    def test_runs_it_in_a_thread_with_a_running_loop_too(self, deliver: Deliver) -> None:
        async def main() -> Any:
            return Callback(Subscription(done, "photos"))(deliver().message)

        assert asyncio.run(main()) == "done"

    def test_leaves_no_context_variable_behind(self, deliver: Deliver) -> None:
        async def handle(data: Any, **attributes: Any) -> None:
            value.set("of the handler")

        Callback(Subscription(handle, "photos"))(deliver().message)

        assert value.get() == "unset"

    def test_awaits_a_hook_for_a_sync_handler(self, deliver: Deliver) -> None:
        handled: list[str] = []

        class Middleware(BaseMiddleware):
            async def pre_process_message(self, *args: Any) -> None:  # type: ignore[override]
                await asyncio.sleep(0)
                handled.append("before")

        register(Middleware())

        Callback(Subscription(lambda data, **attributes: handled.append("handler"), "photos"))(
            deliver().message
        )

        assert handled == ["before", "handler"]
