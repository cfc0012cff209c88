"""A question whose answer may take long, asked in a thread of its own while somebody looks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import ref

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

BETWEEN_SCRAPES = 300.0
"""Seconds, more than there are between two scrapes."""


class SlowQuestion(Generic[Answer]):
    """Keeps the last answer, and asks again when somebody looks at it, or has looked lately.

    So what nobody looks at costs nothing.

    Args:
        about: what the question is about, for the log and the thread's name.
        ask: gets the answer; it may wait, and raise.
        every: seconds from one question to the next, at least.
        good_for: seconds for which an answer counts.
        now: the time, in seconds of a clock that only advances.
        asked_on: for how many seconds after a look to ask again and again, so that the next look,
            a minute later perhaps, finds a new answer.
    """

    def __init__(
        self,
        about: str,
        ask: Callable[[], Answer],
        every: float,
        good_for: float,
        now: Callable[[], float] = time.monotonic,
        asked_on: float = 0.0,
    ) -> None:
        self._about = about
        self._ask = ask
        self._every = every
        self._good_for = good_for
        self._now = now
        self._asked_on = asked_on
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._asked_at: float | None = None
        self._is_asking = False
        self._thread: threading.Thread | None = None
        self._answer: tuple[float, Answer] | None = None
        self._has_failed = False

    def look(self, patience: float = 0.0) -> Answer | None:
        """The last answer; ``None``: there is none, or it is too old.

        Args:
            patience: for how many seconds to wait for an answer that is asked for now.
        """
        now = self._looked_at = self._now()
        thread = self._ask_if_due(now)
        if patience and thread is not None:
            thread.join(patience)
        answer = self._answer
        if answer is None or now - answer[0] > self._good_for:
            return None
        return answer[1]

    def _ask_if_due(self, now: float) -> threading.Thread | None:
        """The thread that is asking now, if one is."""
        with self._lock:
            is_due = self._asked_at is None or now - self._asked_at >= self._every
            if is_due and not self._is_asking:
                self._thread = threading.Thread(
                    target=self._find_out, name=f"rele-{self._about}", daemon=True
                )
                self._thread.start()  # which fails where the system starts no more threads
                self._is_asking, self._asked_at = True, now
            return self._thread if self._is_asking else None

    @property
    def waits_for(self) -> float:
        """For how many seconds the question has had no answer; 0 while none is waited for."""
        with self._lock:
            asked_at = self._asked_at if self._is_asking else None
        return 0.0 if asked_at is None else self._now() - asked_at

    def _find_out(self) -> None:
        try:
            self._answer = self._now(), self._ask()
        except Exception as error:  # noqa: BLE001 - of any library
            level = logging.DEBUG if self._has_failed else logging.WARNING
            reason = " ".join(str(error).split()) or type(error).__name__
            logger.log(level, "The %s is not known: %s", self._about, reason)
            self._has_failed = True
        else:
            self._has_failed = False
        finally:
            with self._lock:
                self._is_asking = False
            if self._asked_on:
                self._ask_again_later()

    def _ask_again_later(self) -> None:
        # By a weak reference: what nobody can look at any more is not asked on.
        timer = threading.Timer(self._every, _ask_on, [ref(self)])
        timer.daemon = True
        with suppress(RuntimeError):  # no thread can be started: the next look asks
            timer.start()

    def ask_on(self) -> None:
        """Ask again, if somebody has looked lately."""
        now = self._now()
        if now - self._looked_at < self._asked_on:
            with suppress(RuntimeError):
                self._ask_if_due(now)


def _ask_on(reference: ref[SlowQuestion[Any]]) -> None:
    if (question := reference()) is not None:
        question.ask_on()
