"""What can be done about a subscription on the page, each after a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rele.contrib.admin import controls
from rele.contrib.admin.models import Subscription

MOST_THREADS = 10_000

Answers = dict[str, str]
"""What was filled in beside the question."""


class AnswerError(ValueError):
    """What was filled in cannot be used; the text says what to write."""


@dataclass(frozen=True)
class Action:
    """One thing that can be done."""

    title: str
    """With the subscription's name."""
    consequences: str
    yes: str
    """The answer that does it."""
    carry_out: Callable[[str, str, Answers], tuple[Subscription, str]]
    """Gets the name, who decides it, and the answers; returns the decision and what was done."""
    asks_threads: bool = False


PAUSED = "Paused."
RESUMED = "Resumed."


def threads_set(threads: int | None) -> str:
    """What was done, as it is noted."""
    if threads is None:
        return "Set its threads to what the code says."
    return f"Set its threads to {threads} in each process."


def _pause(name: str, by: str, answers: Answers) -> tuple[Subscription, str]:
    return controls.pause(name, by), PAUSED


def _resume(name: str, by: str, answers: Answers) -> tuple[Subscription, str]:
    return controls.resume(name, by), RESUMED


def _set_threads(name: str, by: str, answers: Answers) -> tuple[Subscription, str]:
    text = answers.get("threads", "").strip()
    if not text:
        return controls.set_threads(name, None, by), threads_set(None)
    is_short = len(text) <= len(str(MOST_THREADS))
    threads = int(text) if is_short and text.isascii() and text.isdecimal() else 0
    if not 1 <= threads <= MOST_THREADS:
        raise AnswerError(f"Write a whole number from 1 to {MOST_THREADS}, or nothing.")
    return controls.set_threads(name, threads, by), threads_set(threads)


ACTIONS = {
    "pause": Action(
        "Pause {name}?",
        "All workers of this project stop consuming it within 5 seconds, until it is resumed, also "
        "those that are started later. Running handlers finish. What no handler has begun is "
        "nacked once, and waits at Pub/Sub as long as the subscription retains messages.",
        "Yes, pause it",
        _pause,
    ),
    "resume": Action(
        "Resume {name}?",
        "All workers of this project consume it again within 5 seconds.",
        "Yes, resume it",
        _resume,
    ),
    "threads": Action(
        "Threads of {name}",
        "Within 5 seconds each worker process of this project handles this many messages of it at "
        "a time. A restart keeps it.",
        "Set the threads",
        _set_threads,
        asks_threads=True,
    ),
}
"""By the last part of their addresses."""
