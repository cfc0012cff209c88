"""Carrying out a plan."""

from __future__ import annotations

import logging
from collections.abc import Callable

from google.api_core import exceptions

from rele.resources.calls import Calls, explained
from rele.resources.changes import Change, Plan

logger = logging.getLogger(__name__)


def log(change: Change) -> None:
    """Write to the log what was carried out, or that it cannot be changed, and what to do."""
    if change.carry_out is None:
        logger.error("Relé %s", change)
        return
    # Advice is what somebody has to do, so it must not be missed.
    level = logging.WARNING if change.advice else logging.INFO
    logger.log(level, "Relé has done: %s", change)


def apply(plan: Plan, tell: Callable[[Change], object] = log) -> None:
    """Carry out ``plan``, side by side where no step needs another.

    What another worker has done in the meantime is fine. Whatever needs what was refused is left
    out.

    Args:
        plan: of any project.
        tell: called in this thread with each step that was carried out, and in the end with
            each obstacle.

    Raises:
        ResourceError: Pub/Sub refused some, here or when the plan was made; with a line for each.
    """
    calls = Calls()
    waiting = [change for change in plan.changes if change.carry_out is not None]
    failed: set[str] = set()
    while waiting:
        ready = _ready(waiting)
        waiting = [change for change in waiting if change not in ready]
        outcomes = calls.run(_carry_out, [each for each in ready if not each.needs & failed])
        failed |= {change.path for change in ready if change not in outcomes}
        for change, was_done_here in outcomes.items():
            if was_done_here:
                tell(change)
    for obstacle in plan.obstacles:
        tell(obstacle)
    plan.raise_refusals(calls.refusals)


def _ready(waiting: list[Change]) -> list[Change]:
    """Those that need none of the others; all, where they need each other in a circle."""
    missing = {change.path for change in waiting}
    return [change for change in waiting if not change.needs & missing] or waiting


def _carry_out(change: Change) -> bool:
    """Whether it was done here, and not by somebody else."""
    assert change.carry_out is not None
    try:
        with explained(change.action, change.path, exceptions.AlreadyExists):
            change.carry_out()
    except exceptions.AlreadyExists:
        logger.debug("Somebody else was faster to %s.", change)
        return False
    return True
