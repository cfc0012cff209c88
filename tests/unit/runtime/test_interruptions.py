from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import pytest

from rele.runtime.interruptions import has_begun, is_interruption


class TimeLimitError(Exception):
    pass


def end(*args: object) -> None:
    raise TimeLimitError


class Limit:
    def end(self, *args: object) -> None:
        end()

    def __call__(self, *args: object) -> None:
        end()


class Colour(Enum):
    RED = 1


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


def raised_by(function: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - of any class
        function()
    return raised.value


def raise_signal() -> None:
    signal.raise_signal(signal.SIGUSR1)


@pytest.mark.parametrize(
    "handler",
    [end, Limit().end, Limit(), functools.partial(end, "x"), lambda signum, frame: end()],
    ids=["function", "method", "object", "partial", "lambda"],
)
def test_what_the_handler_of_a_signal_raises_is_an_interruption(handler: Any) -> None:
    signal.signal(signal.SIGUSR1, handler)

    assert is_interruption(raised_by(raise_signal))


def test_ctrl_c_is_one_in_the_main_thread() -> None:
    judged: list[bool] = []
    thread = threading.Thread(target=lambda: judged.append(is_interruption(KeyboardInterrupt())))
    thread.start()
    thread.join(10)

    assert is_interruption(KeyboardInterrupt())
    assert judged == [False]


@pytest.mark.parametrize("function", [end, lambda: Colour("green"), lambda: {}["key"]])
def test_what_code_raises_by_itself_is_none(function: Callable[[], object]) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    assert not is_interruption(raised_by(function))


def test_a_function_that_a_signal_interrupts_after_its_beginning_has_begun() -> None:
    signal.signal(signal.SIGUSR1, end)

    def call() -> None:
        raise_signal()

    assert has_begun(raised_by(call), call.__code__)
    assert has_begun(ValueError(), call.__code__)
