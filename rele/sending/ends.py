"""How a process ends, and whether a publish waits because nothing is sent at that end.

This module decides; ``process_end.py`` finds out about the process and carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple

Forked = Literal["wait", "background"]
"""What ``PUBLISHER_FORKED`` may say."""


class Runner(Enum):
    """What has started the code of this process, and ends the process after it."""

    INTERPRETER = "the interpreter"
    MULTIPROCESSING = "multiprocessing"
    CELERY_POOL = "Celery's prefork pool"
    BILLIARD_POOL = "a pool of billiard"
    WORK_HORSE = "a work horse of RQ"


TELLING_CALLS = frozenset({"__call__", "_bootstrap", "main_work_horse", "process_destructor"})
"""The names of the functions that :func:`surroundings_of` knows."""


class Call(NamedTuple):
    """A call that is under way in a thread."""

    module: str
    function: str
    owner: Any
    """The object whose method was called; ``None`` for a function."""


@dataclass(frozen=True)
class Surroundings:
    """What is known about this process.

    Args:
        runner: what ends it.
        is_daemonic: whether its parent ends it by SIGTERM, without waiting for what it does.
        is_forked: whether it is a copy of its parent.
        is_ending: whether it has begun to end, so that nothing more can be registered for that.
    """

    runner: Runner = Runner.INTERPRETER
    is_daemonic: bool = False
    is_forked: bool = False
    is_ending: bool = False

    @property
    def is_child(self) -> bool:
        """Whether another process has made it, to do a part of its work."""
        return self.is_forked or self.runner is not Runner.INTERPRETER

    @property
    def may_end_unasked(self) -> bool:
        """Whether it may end without calling anything of Relé."""
        if self.runner is Runner.MULTIPROCESSING:
            return self.is_daemonic
        return self.runner in (Runner.BILLIARD_POOL, Runner.WORK_HORSE)


def publish_waits(surroundings: Surroundings, forked: Forked | None) -> bool:
    """Whether a publish waits for its outcome, blocking or not.

    Args:
        surroundings: the process that publishes.
        forked: what the setting ``PUBLISHER_FORKED`` says; ``None`` if it says nothing.
    """
    if forked is not None:
        return forked == "wait" and surroundings.is_child
    return surroundings.may_end_unasked


def surroundings_of(calls: Iterable[Call], *, is_forked: bool, is_ending: bool) -> Surroundings:
    """The surroundings of a process, from the calls under way in its main thread.

    Args:
        calls: the innermost first. A forked child has the calls of its parent's thread, too: those
            that say how the child was made are inside of those that say it of the parent.
        is_forked, is_ending: as in :class:`Surroundings`.
    """
    for call in calls:
        is_ending = is_ending or _ends_the_process(call)
        if (runner := _runner_of(call)) is not None:
            is_daemonic = bool(getattr(call.owner, "daemon", False))
            return Surroundings(runner, is_daemonic, is_forked, is_ending)
    return Surroundings(is_forked=is_forked, is_ending=is_ending)


def _runner_of(call: Call) -> Runner | None:
    """What runs the process in which this call is the outermost of the process's own."""
    if call.function == "main_work_horse":  # a project's own worker class may override it
        return Runner.WORK_HORSE
    if (call.module, call.function) == ("billiard.pool", "__call__"):
        on_exit = getattr(call.owner, "on_exit", None)
        is_celerys = getattr(on_exit, "__module__", None) == "celery.concurrency.prefork"
        return Runner.CELERY_POOL if is_celerys else Runner.BILLIARD_POOL
    if call.function == "_bootstrap" and call.module in (
        "multiprocessing.process",
        "billiard.process",
    ):
        return Runner.MULTIPROCESSING  # billiard's processes share its finalizers
    return None


def _ends_the_process(call: Call) -> bool:
    return (call.module, call.function) == ("celery.concurrency.prefork", "process_destructor")
