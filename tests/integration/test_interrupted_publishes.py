"""An exception at each single step of a publish, as the handler of a signal may raise it."""

from __future__ import annotations

import dis
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import pytest

import rele
from rele.backends.pubsub import PubSubBackend
from rele.config import Config
from rele.middleware import BaseMiddleware
from rele.publishing import sent_through
from tests.support.native_publisher import AcceptingCalls, make_publisher

RELE = str(Path(rele.__file__).parent)


class TimeLimitError(Exception):
    """What the handler of a signal raises in these tests."""


class CountOutcomes(BaseMiddleware):
    """Counts the outcome hooks of each message."""

    successes: ClassVar[Counter[Any]] = Counter()
    failures: ClassVar[Counter[Any]] = Counter()

    def post_publish_success(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        self.successes[data] += 1

    def post_publish_failure(self, topic: str, exception: BaseException, message: Any) -> None:
        self.failures[message] += 1


class Interrupter:
    """Raises an exception before the n-th step of Relé's code in this thread.

    A step is an instruction of the interpreter. A handler may run between any two of them, but not
    between taking an item of an iterator and storing it.
    """

    def __init__(self, after: int) -> None:
        self.left = after
        self._instruction = ""

    def __enter__(self) -> Interrupter:
        sys.settrace(self._enter_frame)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _enter_frame(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(RELE):
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            before = self._instruction
            self._instruction = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            self.left -= before != "FOR_ITER"
            if self.left == 0 and before != "FOR_ITER":
                raise TimeLimitError(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return self._step


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[AcceptingCalls]:
    settings = {
        "GC_PROJECT_ID": "project",
        "ENGINE": "rele",
        "MIDDLEWARE": [f"{__name__}.{CountOutcomes.__name__}"],
    }
    publisher, calls = make_publisher(monkeypatch)
    monkeypatch.setattr(
        "rele.engine.native.publishing.publisher.NativePublisher", lambda *_: publisher
    )
    rele.setup(settings)
    CountOutcomes.successes.clear()
    CountOutcomes.failures.clear()
    with sent_through(PubSubBackend(Config(settings))):
        yield calls
        assert rele.flush(10)
    publisher.release()


def publish_and_forget(number: int) -> None:
    rele.publish("orders", number)


def publish_and_wait(number: int) -> None:
    rele.publish("orders", number, blocking=True, timeout=10)


def publish_in_order(number: int) -> None:
    rele.publish("orders", number, ordering_key="key")


def publish_several(number: int) -> None:
    rele.publish_many("orders", [number, ("several", {"number": str(number)})])


WAYS = (publish_and_forget, publish_and_wait, publish_in_order, publish_several)


def _steps_of(publish: Callable[[int], None]) -> int:
    """How many steps a publish takes."""
    publish(-1)
    with Interrupter(10**9) as interrupter:
        publish(-2)
    return 10**9 - interrupter.left


@pytest.mark.parametrize("publish", WAYS)
def test_an_interrupted_publish_is_made_wholly_or_not_at_all(
    calls: AcceptingCalls, publish: Callable[[int], None]
) -> None:
    steps = _steps_of(publish)
    interrupted = {}
    for number in range(1, steps):
        try:
            with Interrupter(number):
                publish(number)
        except TimeLimitError as error:
            interrupted[number] = str(error)
        publish(1_000_000 + number)  # the next message is not affected
    assert rele.flush(10)

    assert len(interrupted) > steps / 2
    sent = Counter(_number_in(field) for field in calls.accepted.elements())
    successes, failures = CountOutcomes.successes, CountOutcomes.failures
    for number, where in interrupted.items():
        outcome = (sent[number], successes[number], failures[number])
        # It was sent; or it was not; or the exception counted as an error of the message.
        assert outcome in ((1, 1, 0), (0, 0, 0), (0, 0, 1)), f"at {where}"
        following = 1_000_000 + number
        assert (sent[following], successes[following], failures[following]) == (1, 1, 0)


def _number_in(field: bytes) -> Any:
    """The data of a message, which is a number, in the bytes of its request."""
    from google.pubsub_v1.types import PublishRequest

    data = PublishRequest.deserialize(field).messages[0].data
    return int(data) if data.lstrip(b"-").isdigit() else data
