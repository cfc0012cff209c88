"""Where the sync functions of a message of an async handler run."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest

from rele.handling.sync_calls import InCallingThread, InOwnThread

value: ContextVar[str] = ContextVar("value", default="unset")


@pytest.fixture(autouse=True, params=["asgiref", "none"])
def _asgiref(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether asgiref is in use."""
    if request.param == "none":
        monkeypatch.delitem(sys.modules, "asgiref.sync", raising=False)


class Threads:
    """Notes what happens in which thread."""

    def __init__(self) -> None:
        self.started: list[threading.Thread] = []
        self.calls: list[tuple[str, threading.Thread]] = []

    def run(self, function: Callable[[], object]) -> None:
        thread = threading.Thread(target=function)
        self.started.append(thread)
        thread.start()

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append((name, threading.current_thread()))


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    for thread in threads.started:
        thread.join(10)


@pytest.fixture
def own(threads: Threads) -> InOwnThread:
    return InOwnThread(threads.run, threads.note("begin"), threads.note("end"))


def test_all_run_in_one_thread_between_its_begin_and_its_end(
    threads: Threads, own: InOwnThread
) -> None:
    async def main() -> None:
        await own.run(threads.note("first"))
        await own.run(threads.note("second"))
        await own.end()

    asyncio.run(main())

    assert [name for name, _ in threads.calls] == ["begin", "first", "second", "end"]
    assert {thread for _, thread in threads.calls} == {*threads.started}
    assert len(threads.started) == 1


def test_without_a_call_there_is_no_thread(threads: Threads, own: InOwnThread) -> None:
    asyncio.run(own.end())

    assert threads.started == []


def test_a_late_call_has_a_thread_with_a_begin_and_an_end(
    threads: Threads, own: InOwnThread
) -> None:
    async def main() -> None:
        await own.end()
        await own.run(threads.note("late"))

    asyncio.run(main())
    for thread in threads.started:
        thread.join(10)

    assert [name for name, _ in threads.calls] == ["begin", "late", "end"]


@pytest.mark.parametrize("error", [ValueError("boo"), SystemExit(1)])
def test_an_error_is_raised_where_it_is_awaited(own: InOwnThread, error: BaseException) -> None:
    async def main() -> BaseException | None:
        def fail() -> None:
            raise error

        try:
            await own.run(fail)
        except BaseException as raised:  # noqa: BLE001 - it is returned
            await own.end()
            return raised
        return None

    assert asyncio.run(main()) is error


def test_what_a_call_sets_in_context_variables_counts_for_its_caller(own: InOwnThread) -> None:
    async def main() -> str:
        await own.run(lambda: value.set("of the call") and None)
        await own.end()
        return value.get()

    assert asyncio.run(main()) == "of the call"


def test_the_cancellation_of_a_call_does_not_keep_the_thread_from_its_end(
    threads: Threads, own: InOwnThread
) -> None:
    may_go_on = threading.Event()

    async def main() -> None:
        call = asyncio.ensure_future(own.run(may_go_on.wait, 10))
        await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait([call], timeout=0.1)
        may_go_on.set()
        await own.end()

    asyncio.run(main())

    assert [name for name, _ in threads.calls] == ["begin", "end"]


def test_a_message_alone_needs_no_thread_of_its_own() -> None:
    assert asyncio.run(InCallingThread().run(lambda: 42)) == 42
