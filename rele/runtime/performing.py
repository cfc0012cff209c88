"""Calling a function for a future."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


def perform(future: Future[Any], function: Callable[[], Any]) -> None:
    """Call ``function``, unless ``future`` is cancelled, and store its result or its error."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - raised to whoever waits for the future
        future.set_exception(error)
    else:
        future.set_result(result)
