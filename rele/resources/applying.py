"""Carrying out a plan."""

from __future__ import annotations

import logging
from collections.abc import Callable

from google.api_core import exceptions

from rele.resources.changes import Change, Plan
from rele.resources.parallel_calls import Calls, explained

logger = logging.getLogger(__name__)


def log(change: Change) -> None:
    """Log a change or an obstacle, and what a person must do."""
    if change.carry_out is None:
        level = logging.ERROR
    else:
        level = logging.WARNING if change.advice else logging.INFO
    logger.log(level, "Relé %s", change.report)


def apply(plan: Plan, report: Callable[[Change], object] = log) -> None:
    """Carry out ``plan``; changes that depend on no other run in parallel.

    Changes that another worker has made in the meantime are left out, as are changes that depend on
    a change that Pub/Sub refused.

    Args:
        plan: the plan.
        report: called in this thread with each change that was made, and at the end with each
            obstacle.

    Raises:
        ResourceError: Pub/Sub refused changes, or calls of the planning; with a line for each.
    """
    for warning in plan.warnings:
        logger.warning("%s", warning)
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
                report(change)
    for obstacle in plan.obstacles:
        report(obstacle)
    plan.raise_refusals(calls.refusals)


def _ready(waiting: list[Change]) -> list[Change]:
    """The changes that come after no other in ``waiting``.

    If they form a cycle, those that need no other; if they do so as well, all.
    """
    missing = {change.path for change in waiting}
    able = [change for change in waiting if not change.needs & missing]
    return [change for change in able if not change.after & missing] or able or waiting


def _carry_out(change: Change) -> bool:
    """Carry out the change; return False if another worker had done it."""
    assert change.carry_out is not None
    try:
        with explained(change.action, change.path, exceptions.AlreadyExists):
            change.carry_out()
    except exceptions.AlreadyExists:
        logger.debug("Already done by another worker: %s.", change.summary)
        return False
    return True
