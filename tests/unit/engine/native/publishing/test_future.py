from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, as_completed, wait
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest

from rele.engine.native.publishing.future import PublishFuture


def _in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_it_is_a_future_of_concurrent_futures() -> None:
    assert isinstance(PublishFuture(), Future)


def test_the_result_is_waited_for() -> None:
    future = PublishFuture()
    thread = _in_thread(lambda: future.set_result("7"))

    assert future.result(10) == "7"
    assert future.exception() is None
    assert future.done()
    thread.join()


def test_an_error_is_raised() -> None:
    future = PublishFuture()
    error = ValueError("no")
    future.set_exception(error)

    with pytest.raises(ValueError, match="no"):
        future.result()
    assert future.exception() is error


@pytest.mark.parametrize("timeout", [0, 0.001, -1])
def test_waiting_has_an_end(timeout: float) -> None:
    future = PublishFuture()

    with pytest.raises(FutureTimeoutError):
        future.result(timeout)
    assert not future.done()


def test_it_cannot_be_cancelled() -> None:
    future = PublishFuture()

    assert not future.cancel()
    assert not future.cancelled()


def test_callbacks_run_once_in_their_order() -> None:
    future, seen = PublishFuture(), []
    future.add_done_callback(lambda f: seen.append((1, f)))
    future.add_done_callback(lambda f: seen.append((2, f)))
    future.set_result("7")
    future.add_done_callback(lambda f: seen.append((3, f)))

    assert seen == [(1, future), (2, future), (3, future)]


def test_a_callback_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    future, seen = PublishFuture(), []
    future.add_done_callback(lambda f: 1 / 0)
    future.add_done_callback(seen.append)
    future.set_result("7")

    assert seen == [future]
    assert "A callback of" in caplog.text


def test_what_waits_learns_of_it_after_the_report() -> None:
    """The outcome is there for the report, and who waits continues after the report."""
    future, seen = PublishFuture(), []
    future.add_done_callback(lambda f: seen.append("callback"))
    future.settle("7")
    seen.append(f"report of {future.result()}")
    future.conclude()

    assert seen == ["report of 7", "callback"]


class TestWithConcurrentFutures:
    def test_wait_for_all(self) -> None:
        futures = [PublishFuture() for _ in range(3)]
        futures[0].set_result("0")
        thread = _in_thread(lambda: [f.set_result("x") for f in futures[1:]])

        done, pending = wait(futures, timeout=10)
        assert (done, pending) == (set(futures), set())
        thread.join()

    def test_wait_for_the_first(self) -> None:
        futures = [PublishFuture() for _ in range(3)]
        thread = _in_thread(lambda: futures[1].set_result("x"))

        done, pending = wait(futures, timeout=10, return_when=FIRST_COMPLETED)
        assert done == {futures[1]}
        assert pending == {futures[0], futures[2]}
        thread.join()

    def test_wait_for_the_first_error(self) -> None:
        futures = [PublishFuture() for _ in range(2)]
        thread = _in_thread(lambda: futures[1].set_exception(ValueError()))

        assert wait(futures, timeout=10, return_when=FIRST_EXCEPTION).done == {futures[1]}
        thread.join()

    def test_wait_has_an_end(self) -> None:
        future = PublishFuture()

        assert wait([future], timeout=0.001).not_done == {future}

    def test_as_completed_with_other_futures(self) -> None:
        ours, other = PublishFuture(), Future[str]()
        seen = []
        thread = _in_thread(lambda: (other.set_result("1"), ours.set_result("2")))
        for future in as_completed([ours, other], timeout=10):
            seen.append(future.result())

        assert sorted(seen) == ["1", "2"]
        thread.join()

    def test_many_that_are_done_while_they_are_waited_for(self) -> None:
        for _ in range(50):
            futures = [PublishFuture() for _ in range(50)]
            thread = _in_thread(lambda fs=futures: [f.set_result("x") for f in fs])  # type: ignore[misc]
            assert len(list(as_completed(futures, timeout=10))) == 50
            assert wait(futures, timeout=10).not_done == set()
            thread.join()


def test_asyncio_awaits_it() -> None:
    async def publish() -> str:
        future = PublishFuture()
        thread = _in_thread(lambda: future.set_result("7"))
        result = await asyncio.wrap_future(future)
        thread.join()
        return result

    assert asyncio.run(publish()) == "7"


def test_its_repr_says_what_has_become_of_it() -> None:
    pending, done, failed = PublishFuture(), PublishFuture(), PublishFuture()
    done.set_result("7")
    failed.set_exception(ValueError())

    assert "state=pending" in repr(pending)
    assert "returned '7'" in repr(done)
    assert "raised ValueError" in repr(failed)


def test_a_callback_that_ends_its_thread_keeps_no_other_from_running() -> None:
    future, seen = PublishFuture(), []
    future.add_done_callback(lambda _: sys.exit(3))
    future.add_done_callback(seen.append)

    with pytest.raises(SystemExit):
        future.set_result("1")

    assert seen == [future]
