"""Waiting in an event loop until the publisher has room for messages again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

from rele.backends import Outcome, Refused
from rele.exceptions import PublisherFull
from rele.sending.event_loops import LoopInUse

SLICE = 1000
"""Messages that are handed over together, so that a publish of many begins before all have room."""

_PAUSE = 0.01
"""Seconds between two attempts to hand messages over."""

Answers = Sequence[Outcome | Future[str]]


class Concludable(Protocol):
    """The part of a publication that this module uses."""

    def conclude(self, error: BaseException | None) -> None: ...


AnyPublication = TypeVar("AnyPublication", bound=Concludable)


def is_full(answers: Answers) -> bool:
    """Whether a full publisher has taken none of the messages, so that they can be tried again."""
    if not answers or type(answers[0]) is not Refused:
        return False
    errors = [each.error for each in answers if type(each) is Refused]
    if len(errors) < len(answers):
        return False
    return any(isinstance(error, PublisherFull) for error in errors)


async def hand_over_in_turn(
    hand_over: Callable[[Sequence[AnyPublication]], Answers],
    publications: Sequence[AnyPublication],
    loop: LoopInUse,
    seconds: float,
) -> tuple[list[Outcome | Future[str]], float]:
    """Hand messages over, and wait meanwhile where there is no room for them.

    Tasks get room in the order in which they came, and messages of one call in their order.

    Args:
        hand_over: hands some of them to the backend, without waiting.
        publications: the messages.
        loop: the event loop, which runs in the calling thread.
        seconds: how long to wait altogether; what has no room then is refused.

    Returns:
        an answer for each message, and the seconds that are left.
    """
    deadline = loop.loop.time() + seconds
    answers: list[Outcome | Future[str]] = []
    try:
        async with _Turn(loop, seconds):
            while len(answers) < len(publications):
                given = hand_over(publications[len(answers) : len(answers) + SLICE])
                if is_full(given) and loop.loop.time() < deadline:
                    loop.send_soon()
                    await asyncio.sleep(_PAUSE)
                else:
                    answers += given
    except asyncio.CancelledError as cancelled:
        for publication in publications[len(answers) :]:
            publication.conclude(cancelled)
        raise
    return answers, max(deadline - loop.loop.time(), 0)


class _Turn:
    """The turn of a task, which comes after those that asked before, or when its time is over."""

    def __init__(self, loop: LoopInUse, seconds: float) -> None:
        self._lock = loop.waiting_for_room
        self._seconds = seconds
        self._is_mine = False

    async def __aenter__(self) -> None:
        # Not asyncio.wait_for(), which before Python 3.12 loses a cancellation that arrives in the
        # moment in which the lock is acquired (https://github.com/python/cpython/issues/86296).
        acquiring = asyncio.ensure_future(self._lock.acquire())
        try:
            await asyncio.wait([acquiring], timeout=self._seconds)
            self._is_mine = acquiring.done()
        finally:
            if not self._is_mine:
                acquiring.add_done_callback(self._pass_on)
                acquiring.cancel()

    async def __aexit__(self, *_: object) -> None:
        if self._is_mine:
            self._lock.release()

    def _pass_on(self, acquiring: asyncio.Task[bool]) -> None:
        """Release what was acquired after this turn was over."""
        if not acquiring.cancelled():
            self._lock.release()
