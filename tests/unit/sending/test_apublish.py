from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

import pytest
from google.api_core import exceptions

from rele.backends import BaseBackend, Deferred, Message, Refused, Result
from rele.exceptions import PublisherFull
from rele.sending.publisher import Publisher
from tests.support.backends import HeldBackend
from tests.support.recorder import Recorder, raising

SUCCESS, FAILURE = "post_publish_success", "post_publish_failure"
LONG = 20.0

Anything = TypeVar("Anything")


class SettledLater(HeldBackend):
    """Settles what it was given when it is flushed, in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.outcome = "message"
        self.threads: list[threading.Thread] = []

    def flush(self, timeout: float | None = None) -> None:
        self.flushes.append(timeout)
        self.threads.append(threading.Thread(target=self._settle))
        self.threads[-1].start()

    def _settle(self) -> None:
        if threading.current_thread() in self.threads:
            super()._settle()


@pytest.fixture
def held() -> Iterator[HeldBackend]:
    """A backend that never learns of an outcome while the test runs."""
    backend = HeldBackend()
    yield backend
    backend.settle_the_rest()


@pytest.fixture
def later() -> Iterator[SettledLater]:
    backend = SettledLater()
    yield backend
    for thread in backend.threads:
        thread.join(10)


def publisher_on(backend: BaseBackend, timeout: float = LONG) -> Publisher:
    return Publisher(backend, json.JSONEncoder, timeout)


def run(make: Callable[[], Awaitable[Anything]]) -> Anything:
    """Run what ``make`` returns in an event loop."""

    async def main() -> Anything:
        return await make()

    return asyncio.run(main())


async def soon(condition: Callable[[], object]) -> None:
    """Let other tasks run until the condition is met."""
    while not condition():
        await asyncio.sleep(0)


class TestOne:
    def test_returns_the_future_when_it_is_done_and_the_hook_has_run(
        self, hooks: Recorder, later: SettledLater
    ) -> None:
        publisher = publisher_on(later)

        future = run(lambda: publisher.apublish("photos", {"id": 1}, lang="en"))

        assert future.done()
        assert future.result(0) == "message"
        topic, data, attrs = hooks.arguments_of(SUCCESS)
        assert (topic, data, attrs["lang"]) == ("photos", {"id": 1}, "en")
        assert hooks.names == ["pre_publish", SUCCESS, "post_publish"]
        assert hooks.threads[0] is threading.current_thread()
        assert hooks.threads[1] in later.threads

    def test_raises_the_error_of_the_message_after_its_hook(
        self, hooks: Recorder, later: SettledLater
    ) -> None:
        later.outcome = exceptions.PermissionDenied("no")
        publisher = publisher_on(later)

        with pytest.raises(exceptions.PermissionDenied):
            run(lambda: publisher.apublish("photos", 1))

        assert hooks.arguments_of(FAILURE) == ("photos", later.outcome, 1)

    def test_raises_the_error_of_a_message_that_has_failed_at_once(
        self, hooks: Recorder, held: HeldBackend
    ) -> None:
        held.outcome = exceptions.PermissionDenied("no")
        publisher = publisher_on(held)

        with pytest.raises(exceptions.PermissionDenied):
            run(lambda: publisher.apublish("photos", 1))

        assert hooks.names == ["pre_publish", FAILURE]

    def test_returns_the_failed_future_where_no_error_is_wanted(
        self, hooks: Recorder, later: SettledLater
    ) -> None:
        later.outcome = exceptions.PermissionDenied("no")
        publisher = publisher_on(later)

        future = run(lambda: publisher.apublish("photos", 1, raise_exception=False))

        assert future.exception(0) is later.outcome
        assert hooks.names == ["pre_publish", FAILURE]

    def test_refuses_what_cannot_be_encoded(self, hooks: Recorder, held: HeldBackend) -> None:
        publisher = publisher_on(held)

        with pytest.raises(TypeError, match="not JSON serializable"):
            run(lambda: publisher.apublish("photos", object()))

        assert hooks.names == ["pre_publish", FAILURE]
        assert held.messages == []

    def test_what_pre_publish_raises_reaches_the_task(
        self, hooks: Recorder, held: HeldBackend
    ) -> None:
        hooks.actions["pre_publish"] = raising(ValueError("not this one"))
        publisher = publisher_on(held)

        with pytest.raises(ValueError, match="not this one"):
            run(lambda: publisher.apublish("photos", 1))

        assert held.messages == []

    def test_does_not_wait_for_a_message_that_another_process_sends(self, hooks: Recorder) -> None:
        class Storing(HeldBackend):
            def send(self, messages: Any) -> Any:
                return [Deferred("stored") for _ in messages]

        publisher = publisher_on(Storing())

        assert run(lambda: publisher.apublish("photos", 1)).result(0) == "stored"
        assert hooks.names == ["pre_publish"]


class TestTimeout:
    def test_runs_the_failure_hook_once_and_names_the_time(
        self, hooks: Recorder, held: HeldBackend
    ) -> None:
        publisher = publisher_on(held)

        with pytest.raises(FutureTimeoutError, match=r"'photos' within 0\.01 s.*sending continues"):
            run(lambda: publisher.apublish("photos", 1, timeout=0.01))
        held.futures[0].set_result("late")

        assert hooks.names == ["pre_publish", FAILURE]
        assert hooks.threads[1] is threading.current_thread()

    def test_is_that_of_the_publisher_by_default(
        self, no_middleware: None, held: HeldBackend
    ) -> None:
        publisher = publisher_on(held, timeout=0.01)

        with pytest.raises(FutureTimeoutError, match=r"0\.01 s"):
            run(lambda: publisher.apublish("photos", 1))

    def test_is_for_all_messages_together(self, hooks: Recorder, held: HeldBackend) -> None:
        publisher = publisher_on(held)

        async def main() -> list[Future[str]]:
            call = asyncio.ensure_future(
                publisher.apublish_many("photos", [1, 2], timeout=0.01, raise_exception=False)
            )
            await soon(lambda: held.futures)
            held.futures[0].set_result("in time")
            return await call

        first, second = asyncio.run(main())

        assert first.result(0) == "in time"
        assert not second.done()
        assert hooks.names.count(SUCCESS) == hooks.names.count(FAILURE) == 1

    def test_does_not_replace_an_outcome_whose_hook_runs(
        self, hooks: Recorder, later: SettledLater
    ) -> None:
        timed_out = threading.Event()
        hooks.actions[SUCCESS] = lambda *_: timed_out.wait(10)
        publisher = publisher_on(later)

        future = run(lambda: publisher.apublish("photos", 1, timeout=0.01))
        timed_out.set()

        assert future.result(0) == "message"
        later.threads[0].join(10)
        assert hooks.names == ["pre_publish", SUCCESS, "post_publish"]


class TestTasks:
    def test_other_tasks_run_while_one_waits(self, no_middleware: None, held: HeldBackend) -> None:
        publisher = publisher_on(held)

        async def settle() -> None:
            await soon(lambda: held.futures)
            held.settle_the_rest()

        async def main() -> Future[str]:
            published, _ = await asyncio.gather(publisher.apublish("photos", 1), settle())
            return published

        assert asyncio.run(main()).result(0) == "message"

    def test_a_cancelled_task_does_not_unsend(self, hooks: Recorder, held: HeldBackend) -> None:
        publisher = publisher_on(held)

        async def main() -> None:
            task = asyncio.ensure_future(publisher.apublish("photos", 1))
            await soon(lambda: held.futures)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert hooks.names == ["pre_publish"]
        held.settle_the_rest()

        assert not held.futures[0].cancelled()
        assert hooks.names == ["pre_publish", SUCCESS, "post_publish"]
        assert publisher.flush(0)

    def test_what_ready_tasks_publish_is_sent_together(
        self, no_middleware: None, later: SettledLater
    ) -> None:
        publisher = publisher_on(later)

        async def main() -> list[Future[str]]:
            return await asyncio.gather(*(publisher.apublish("photos", n) for n in range(50)))

        futures = asyncio.run(main())

        assert [future.result(0) for future in futures] == ["message"] * 50
        assert later.flushes == [0]

    def test_the_loop_is_woken_once_for_what_is_done_before_it_wakes(
        self, no_middleware: None, held: HeldBackend
    ) -> None:
        publisher = publisher_on(held)
        wakings: list[Any] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            call_soon_threadsafe = loop.call_soon_threadsafe
            loop.call_soon_threadsafe = lambda *args: (  # type: ignore[method-assign,assignment]
                wakings.append(args),
                call_soon_threadsafe(*args),
            )
            calls = asyncio.gather(*(publisher.apublish("photos", n) for n in range(50)))
            await soon(lambda: len(held.futures) == 50)
            held.settle_the_rest()
            await calls

        asyncio.run(main())

        assert len(wakings) == 1

    def test_an_outcome_after_the_end_of_the_loop_runs_its_hook(
        self, hooks: Recorder, held: HeldBackend
    ) -> None:
        publisher = publisher_on(held)

        async def main() -> None:
            task = asyncio.ensure_future(publisher.apublish("photos", 1))
            await soon(lambda: held.futures)
            task.cancel()

        asyncio.run(main())
        held.settle_the_rest()

        assert hooks.names == ["pre_publish", SUCCESS, "post_publish"]


class Full(HeldBackend):
    """Has room for so many messages; when it is flushed, what it has is accepted."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.settles_at_flush = True
        self.outcome = "message"
        self.room = room
        self.attempts = 0

    def send(self, messages: Any) -> Any:
        self.attempts += 1
        if len(messages) > self.room:
            return [Refused(PublisherFull(1, 1, 1, 1)) for _ in messages]
        self.room -= len(messages)
        return super().send(messages)

    def flush(self, timeout: float | None = None) -> None:
        self.room += sum(not future.done() for future in self.futures)
        self._settle()


class TestFullPublisher:
    def test_tasks_get_room_in_their_order(self, hooks: Recorder) -> None:
        backend = Full(room=1)
        publisher = publisher_on(backend)

        async def main() -> list[Future[str]]:
            return await asyncio.gather(*(publisher.apublish("photos", n) for n in range(5)))

        futures = asyncio.run(main())

        assert [future.result(0) for future in futures] == ["message"] * 5
        assert [message.data for message in backend.messages] == [b"0", b"1", b"2", b"3", b"4"]
        assert FAILURE not in hooks.names

    def test_many_messages_are_handed_over_as_there_is_room(self, no_middleware: None) -> None:
        backend = Full(room=1000)
        publisher = publisher_on(backend)

        futures = run(lambda: publisher.apublish_many("photos", range(2500)))

        assert [future.result(0) for future in futures] == ["message"] * 2500
        assert [int(message.data) for message in backend.messages] == [*range(2500)]

    def test_what_has_no_room_in_time_fails(self, hooks: Recorder) -> None:
        publisher = publisher_on(Full(room=0))

        async def main() -> list[Any]:
            calls = [publisher.apublish("photos", n, timeout=0.03) for n in range(3)]
            return await asyncio.gather(*calls, return_exceptions=True)

        assert [type(error) for error in asyncio.run(main())] == [PublisherFull] * 3
        assert hooks.names == ["pre_publish"] * 3 + [FAILURE] * 3

    def test_a_task_that_is_cancelled_while_it_waits_sends_nothing(self, hooks: Recorder) -> None:
        backend = Full(room=0)
        publisher = publisher_on(backend)

        async def main() -> None:
            tasks = [asyncio.ensure_future(publisher.apublish("photos", n)) for n in range(2)]
            await soon(lambda: backend.attempts)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with pytest.raises(asyncio.CancelledError):
                    await task

        asyncio.run(main())

        assert backend.messages == []
        assert hooks.names == ["pre_publish"] * 2 + [FAILURE] * 2

    def test_what_cannot_be_encoded_does_not_wait(self, no_middleware: None) -> None:
        publisher = publisher_on(Full(room=0))

        with pytest.raises(TypeError, match="not JSON serializable"):
            run(lambda: publisher.apublish("photos", object()))


class TestMany:
    def test_returns_a_future_for_each_in_their_order(
        self, no_middleware: None, later: SettledLater
    ) -> None:
        publisher = publisher_on(later)

        futures = run(lambda: publisher.apublish_many("photos", [1, (2, {"lang": "en"})]))

        assert futures == later.futures
        assert all(future.done() for future in futures)
        assert later.messages[1].attributes["lang"] == "en"

    def test_raises_the_error_of_the_first_that_failed_when_all_are_known(
        self, hooks: Recorder, later: SettledLater
    ) -> None:
        publisher = publisher_on(later)

        with pytest.raises(TypeError, match="not JSON serializable"):
            run(lambda: publisher.apublish_many("photos", [1, object(), 3]))

        assert hooks.names.count(SUCCESS) == 2

    def test_none_at_all_returns_at_once(self, no_middleware: None, held: HeldBackend) -> None:
        publisher = publisher_on(held)

        assert run(lambda: publisher.apublish_many("photos", [])) == []


class TestBackendThatWaits:
    def test_is_called_in_the_thread_that_it_chooses(self, hooks: Recorder) -> None:
        class Waiting(HeldBackend):
            def __init__(self) -> None:
                super().__init__()
                self.outcome = "message"

            def run_in_thread(self, publish: Callable[[], Result]) -> Awaitable[Result]:
                return asyncio.to_thread(publish)

            def send(self, messages: Any) -> Any:
                self.thread = threading.current_thread()
                return super().send(messages)

        backend = Waiting()
        publisher = publisher_on(backend)

        future = run(lambda: publisher.apublish("photos", 1))

        assert future.result(0) == "message"
        assert backend.thread is not threading.current_thread()
        assert set(hooks.threads) == {backend.thread}
        assert isinstance(backend.messages[0], Message)


class TestBlockingInALoop:
    def test_is_logged_once_with_its_place(
        self, no_middleware: None, later: SettledLater, caplog: pytest.LogCaptureFixture
    ) -> None:
        publisher = publisher_on(later, timeout=7)

        async def main() -> None:
            publisher.publish("photos", 1)
            assert caplog.records == []
            for _ in range(3):
                publisher.publish("photos", 1, blocking=True)

        asyncio.run(main())

        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert f"publish in {__file__}, line " in record.getMessage()
        assert "for up to 7 s: use `await rele.apublish(...)`" in record.getMessage()

    def test_is_not_logged_where_the_loop_runs_in_another_thread(
        self, no_middleware: None, later: SettledLater, caplog: pytest.LogCaptureFixture
    ) -> None:
        publisher = publisher_on(later)

        async def main() -> None:
            await asyncio.to_thread(lambda: publisher.publish("photos", 1, blocking=True))

        asyncio.run(main())
        publisher.publish("photos", 1, blocking=True)

        assert caplog.records == []
