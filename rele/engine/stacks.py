"""Where a thread is, for the log."""

from __future__ import annotations

import sys
import threading
import traceback


def stack_of(thread_id: int | None) -> str:
    """The name of a thread and its stack, as several lines."""
    name = next((each.name for each in threading.enumerate() if each.ident == thread_id), "?")
    frame = sys._current_frames().get(thread_id or 0)
    stack = "(it has ended)" if frame is None else "".join(traceback.format_stack(frame))
    return f"The thread {name} is at:\n{stack}"
