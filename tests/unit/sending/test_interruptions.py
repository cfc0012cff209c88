"""Publishing in signal handlers and finalisers, and publishing that a signal interrupts."""

from __future__ import annotations

import gc
import logging
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from queue import SimpleQueue
from types import FrameType, SimpleNamespace
from typing import Any, ClassVar

import pytest

import rele
from rele.runtime import in_use
from tests.support.atomic_backend import AtomicBackend
from tests.support.in_use import register
from tests.support.recorder import Recorder

made: list[AtomicBackend] = []


class NotedBackend(AtomicBackend):
    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        made.append(self)


class TimeLimitError(Exception):
    """As the soft time limit of a task queue raises it."""


def end_by_time_limit(signum: int, frame: FrameType | None) -> None:
    raise TimeLimitError


@pytest.fixture(autouse=True)
def _publisher() -> Iterator[None]:
    made.clear()
    rele.setup(
        {
            "MIDDLEWARE": [],
            "PUBLISHER_BACKEND": f"{__name__}.NotedBackend",
            "PUBLISHER_TIMEOUT": 10,
        }
    )
    yield
    for backend in made:
        backend.may_send.set()


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Python drops what a signal raises in a finaliser, such as one of an earlier test's object."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@contextmanager
def on_alarm(handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Within the block, call ``handle`` at each SIGALRM."""
    before = signal.signal(signal.SIGALRM, handle)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Outcomes:
    """Counts the outcome hooks of each topic.

    Args:
        in_c: whether the hooks are functions of C, in which no signal is noticed.
    """

    def __init__(self, *, in_c: bool = True) -> None:
        self.accepted: SimpleQueue[str] = SimpleQueue()
        self.failed: SimpleQueue[str] = SimpleQueue()
        register(
            SimpleNamespace(
                setup=lambda config: None,
                post_publish_success=self.accepted.put if in_c else self._accept,
                post_publish_failure=self.failed.put,
            )
        )

    def _accept(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        self.accepted.put(topic)

    def of(self, queue: SimpleQueue[str]) -> Counter[str]:
        return Counter(queue.get_nowait() for _ in range(queue.qsize()))


class Interrupter:
    """Runs functions that a signal interrupts by an exception, after a random time.

    Args:
        again: whether a second signal may follow at once.
    """

    def __init__(self, again: bool) -> None:
        self._again = again
        self._left = 0
        self._chance = random.Random(7)
        self.times = 0

    def handle(self, signum: int, frame: FrameType | None) -> None:
        self._left -= 1
        if self._left:
            signal.setitimer(signal.ITIMER_REAL, self._chance.uniform(1e-6, 2e-5))
        self.times += 1
        raise TimeLimitError

    def run(self, function: Callable[[], object], most: float) -> bool:
        """Call ``function``; return whether it was interrupted, within ``most`` seconds."""
        self._left = 2 if self._again else 1
        with suppress(TimeLimitError):
            try:
                signal.setitimer(signal.ITIMER_REAL, self._chance.uniform(1e-6, most))
                function()
                signal.setitimer(signal.ITIMER_REAL, 0)
                return False
            except TimeLimitError:
                signal.setitimer(signal.ITIMER_REAL, 0)
        return True


@pytest.mark.xfail(
    sys.version_info < (3, 11),
    reason="before Python 3.11 an exception of a signal may leave a message outstanding for ever",
    strict=False,
)
@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("blocking", [False, True])
def test_each_message_of_interrupted_publishes_has_one_outcome(blocking: bool, again: bool) -> None:
    outcomes = Outcomes(in_c=again)  # else a second signal may interrupt the first steps of a hook
    rele.publish("warm-up", 0, blocking=True)
    seconds = _seconds_of(lambda: rele.publish("warm-up", 0, blocking=blocking))
    interrupter = Interrupter(again)
    futures: dict[str, Any] = {}

    def publish(topic: str) -> None:
        futures[topic] = rele.publish(topic, {"id": 1}, blocking=blocking, lang="en")

    with on_alarm(interrupter.handle):
        for number in count():
            interrupter.run(partial(publish, f"topic-{number}"), 3 * seconds)
            # On a busy machine it takes more of them.
            if number >= 2_000 and interrupter.times > 500:
                break

    # The backend keeps the order. What two signals have interrupted at once is known to it alone.
    rele.publish("last", 0, blocking=True)
    assert rele.flush(10)
    [backend] = made
    sent = Counter(message.topic for message in backend.sent)
    assert [count for topic, count in sent.items() if topic != "warm-up" and count > 1] == []
    accepted = outcomes.of(outcomes.accepted)
    assert accepted - sent == Counter()
    # A second signal, within microseconds of the first, may end what the first has left to do:
    # then a message that was sent has no hook. Hardly ever, but it cannot be excluded.
    assert (sent - accepted).total() <= (2 if again else 0)
    assert outcomes.of(outcomes.failed) == Counter()
    assert futures.keys() <= sent.keys()
    assert all(future.done() for future in futures.values())


def test_a_publish_in_a_signal_handler_that_interrupts_a_publish() -> None:
    outcomes = Outcomes()
    rele.publish("outer", 0, blocking=True)
    publishes, chance = 0, random.Random(7)

    def publish_too(signum: int, frame: FrameType | None) -> None:
        nonlocal publishes
        publishes += 1
        rele.publish("inner", publishes, blocking=publishes % 2 == 0)
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 1e-3))

    with on_alarm(publish_too):
        signal.setitimer(signal.ITIMER_REAL, 1e-4)
        for number in range(1, 1_000):
            rele.publish("outer", number, blocking=number % 2 == 0)

    assert publishes > 20
    assert rele.flush(10)
    [backend] = made
    sent = Counter(message.topic for message in backend.sent)
    assert sent == {"outer": 1_000, "inner": publishes}
    assert outcomes.of(outcomes.accepted) == sent


class PublishesWhenCollected:
    collected: ClassVar[list[int]] = []

    def __init__(self, number: int) -> None:
        self.number = number
        self.itself = self

    def __del__(self) -> None:
        self.collected.append(self.number)
        rele.publish("collected", self.number, blocking=self.number % 2 == 0)


def test_a_publish_in_a_finaliser_that_the_collector_runs_inside_a_publish() -> None:
    outcomes = Outcomes()
    rele.publish("outer", 0, blocking=True)
    PublishesWhenCollected.collected.clear()
    threshold = gc.get_threshold()
    gc.set_threshold(1)  # so that the collector runs wherever an object is made
    try:
        for number in range(1, 200):
            PublishesWhenCollected(number)
            rele.publish("outer", number, blocking=number % 3 == 0)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()

    assert sorted(PublishesWhenCollected.collected) == [*range(1, 200)]
    assert rele.flush(10)
    [backend] = made
    sent = Counter(message.topic for message in backend.sent)
    assert sent == {"outer": 200, "collected": 199}
    assert outcomes.of(outcomes.accepted) == sent


class PublishingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        rele.publish("logs", record.getMessage(), blocking=True)


def test_a_publish_in_a_log_handler_that_a_hook_of_a_publish_logs_to(hooks: Recorder) -> None:
    logger = logging.getLogger("tests.publishing")
    handler = PublishingHandler()
    logger.addHandler(handler)
    hooks.actions["pre_publish"] = lambda topic, data, attrs: (
        topic == "outer" and logger.warning("before %d", data)
    )
    try:
        for number in range(10):
            rele.publish("outer", number, blocking=True)
    finally:
        logger.removeHandler(handler)

    [backend] = made
    assert [message.topic for message in backend.sent] == ["logs", "outer"] * 10


class TestMakingThePublisher:
    @pytest.fixture(autouse=True)
    def _settings(self) -> None:
        rele.setup(
            {
                "MIDDLEWARE": [],
                "PUBLISHER_BACKEND": f"{__name__}.SlowlyMadeBackend",
                "PUBLISHER_TIMEOUT": 10,
            }
        )
        SlowlyMadeBackend.meanwhile.clear()

    def test_that_a_signal_handler_interrupts_which_publishes(self, hooks: Recorder) -> None:
        """The handler's publisher is the first that is made, and is used by all."""
        SlowlyMadeBackend.meanwhile.append(lambda: signal.raise_signal(signal.SIGALRM))

        with on_alarm(lambda signum, frame: rele.publish("inner", 1)):
            rele.publish("outer", 2)

        assert rele.flush(10)
        used, discarded = sorted(made, key=lambda backend: -len(backend.sent))
        assert [message.topic for message in used.sent] == ["inner", "outer"]
        assert discarded.sent == []
        assert discarded.is_released

    def test_that_a_signal_interrupts_by_an_exception(self, hooks: Recorder) -> None:
        SlowlyMadeBackend.meanwhile.append(lambda: signal.raise_signal(signal.SIGALRM))

        with on_alarm(end_by_time_limit), pytest.raises(TimeLimitError):
            rele.publish("photos", 1)
        rele.publish("photos", 2, blocking=True)

        [backend] = made
        assert [message.data for message in backend.sent] == [b"2"]

    def test_by_a_thread_that_waits_for_another_that_publishes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As for a module that the other thread imports."""
        monkeypatch.setattr(in_use, "_LONGEST_MAKING", 0.05)
        other = threading.Thread(target=lambda: rele.publish("inner", 1))
        SlowlyMadeBackend.meanwhile += [other.start, lambda: other.join(10)]

        rele.publish("outer", 2)

        assert not other.is_alive()
        assert rele.flush(10)
        used, discarded = sorted(made, key=lambda backend: -len(backend.sent))
        assert [message.topic for message in used.sent] == ["inner", "outer"]
        assert discarded.is_released

    def test_while_other_settings_are_set_up(self) -> None:
        """A publisher with the former settings would stay in use."""
        SlowlyMadeBackend.meanwhile.append(
            lambda: rele.setup({"MIDDLEWARE": [], "PUBLISHER_BACKEND": f"{__name__}.NotedBackend"})
        )

        rele.publish("photos", 1, blocking=True)

        assert [(type(backend), len(backend.sent)) for backend in made] == [
            (SlowlyMadeBackend, 0),
            (NotedBackend, 1),
        ]
        assert made[0].is_released


class SlowlyMadeBackend(NotedBackend):
    """Calls functions of a test while the first is made."""

    meanwhile: ClassVar[list[Callable[[], object]]] = []

    def __init__(self, config: Any = None) -> None:
        while self.meanwhile:
            self.meanwhile.pop(0)()
        super().__init__(config)


class TestFlush:
    @pytest.mark.parametrize("where", ["a hook of the reporting thread", "a signal handler"])
    def test_waits_for_nothing_that_runs_below_it(self, hooks: Recorder, where: str) -> None:
        flushed: SimpleQueue[bool] = SimpleQueue()
        is_blocking = where == "a signal handler"
        if is_blocking:  # the hooks of a blocking publish run in the main thread
            act = lambda *_: signal.raise_signal(signal.SIGALRM)  # noqa: E731
        else:
            act = lambda *_: flushed.put(rele.flush(10))  # noqa: E731
        hooks.actions["post_publish_success"] = act

        with on_alarm(lambda signum, frame: flushed.put(rele.flush(10))):
            before = time.monotonic()
            rele.publish("photos", 1, blocking=is_blocking)

            assert flushed.get(timeout=10)
            assert time.monotonic() - before < 5

    def test_runs_the_hooks_of_a_call_that_it_has_interrupted(self, hooks: Recorder) -> None:
        """A signal handler flushes in the middle of a publish that waits for the same message."""
        rele.publish("warm-up", 0, blocking=True)
        [backend] = made
        backend.may_send.clear()
        flushed: list[bool] = []

        def flush(signum: int, frame: FrameType | None) -> None:
            backend.may_send.set()
            flushed.append(rele.flush(10))

        with on_alarm(flush):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            rele.publish("photos", 1, blocking=True)

        assert flushed == [True]
        assert hooks.names.count("post_publish_success") == 2  # the warm-up, too


def test_the_soft_time_limit_in_a_hook_reaches_the_caller(hooks: Recorder) -> None:
    second = Recorder()
    register(hooks, second)
    hooks.actions["post_publish_success"] = lambda *_: signal.raise_signal(signal.SIGALRM)

    with on_alarm(end_by_time_limit), pytest.raises(TimeLimitError):
        rele.publish("photos", 1, blocking=True)

    assert second.names == ["pre_publish", "post_publish_success", "post_publish"]


def _seconds_of(function: Callable[[], object]) -> float:
    """The median time that it takes."""
    times = []
    for _ in range(50):
        before = time.perf_counter()
        function()
        times.append(time.perf_counter() - before)
    return sorted(times)[25]
