"""Where a thread or a coroutine is, for the log."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import Any


def stack_of(thread_id: int | None) -> str:
    """The name of a thread and its stack, as several lines."""
    name = next((each.name for each in threading.enumerate() if each.ident == thread_id), "?")
    frame = sys._current_frames().get(thread_id or 0)
    stack = "(it has ended)" if frame is None else "".join(traceback.format_stack(frame))
    return f"The thread {name} is at:\n{stack}"


def stack_of_coroutine(coroutine: Any) -> str:
    """Where a coroutine waits, as several lines."""
    frames, awaited = [], coroutine
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        frames.append((frame, frame.f_lineno))
        awaited = awaited.cr_await
    stack = "".join(traceback.StackSummary.extract(iter(frames)).format())
    return f"The task is at:\n{stack or '(it has ended)'}"
