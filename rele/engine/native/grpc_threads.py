"""The threads that gRPC needs, where the system may start no more of them.

What is here relies on how gRPC (1.85) behaves, and on its private names; ``Calls`` uses it.
"""

from __future__ import annotations

import _thread
import os
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from grpc import _channel as _grpc_channel

_private: Any = _grpc_channel

_SPARE = 3
"""Threads of gRPC beside its pool: two that look after pool and timers, one for a channel."""

_THREADS = Path("/proc/self/task")
_NAMES = (b"event_engine", b"lifeguard", b"grpc_", b"python")
"""How the names of gRPC's threads begin; new ones have the name of the process."""

_of_broken_channels: list[Any] = []


def can_start_threads(number: int) -> bool:
    """Whether Python can start ``number`` more threads now."""
    try:
        _start_threads(number)
    except RuntimeError:
        return False
    return True


def _start_threads(number: int) -> None:
    """Start so many threads, which all end at once.

    Raises:
        RuntimeError: the system starts no more threads, or the interpreter shuts down.
    """
    gate = _thread.allocate_lock()
    gate.acquire()

    def wait() -> None:
        with gate:
            pass

    try:
        for _ in range(number):
            _thread.start_new_thread(wait, ())
    finally:
        gate.release()


def may_lack_threads() -> bool:
    """Whether the interpreter shuts down: from Python 3.12 on it starts no threads then."""
    return bool(getattr(threading, "_SHUTTING_DOWN", False))


def can_open_first_channel() -> bool:
    """Whether gRPC can start the threads that a process's first channel needs.

    Without them gRPC aborts the process.
    """
    pool = min(max(os.cpu_count() or 1, 4), 16)
    try:
        _start_threads(pool + _SPARE)
    except RuntimeError as error:
        # Python's words. It starts no threads then (3.12 and later), but gRPC's are not Python's.
        return "interpreter shutdown" in str(error)
    return True


def poller_is_alive() -> bool:
    """Whether gRPC's asyncio API has its thread, which a forked child must not inherit.

    It ends with the last channel and call.
    """
    return any("_poll_wrapper" in thread.name for thread in threading.enumerate())


def are_idle() -> bool:
    """Whether gRPC's own threads have nothing to do. Where the system does not say so: yes.

    For some milliseconds after a fork or the end of a connection they have, and then gRPC does not
    prepare itself for a fork.
    """
    of_python = {str(thread.native_id) for thread in threading.enumerate()}
    try:
        return all(_is_idle(path) for path in _THREADS.iterdir() if path.name not in of_python)
    except OSError:  # not on Linux
        return True


def _is_idle(thread: Path) -> bool:
    try:
        name, _, rest = (thread / "stat").read_bytes().partition(b"(")[2].rpartition(b")")
    except OSError:  # it has ended
        return True
    return not name.startswith(_NAMES) or rest.split()[0] == b"S"


def waited_for(channel: Any, otherwise: int) -> int:
    """The number of calls of ``channel`` for which a thread of gRPC waits.

    Args:
        otherwise: the answer where gRPC does not say it.
    """
    count: int = getattr(getattr(channel, "_call_state", None), "managed_calls", otherwise)
    return count


def finish_call(channel: Any, error: BaseException) -> Callable[[], bytes] | None:
    """End the call that gRPC has begun on ``channel`` before it could start no thread for it.

    This waits in the thread's place, so that the request need not be sent again.

    Args:
        channel: a channel with no other call.
        error: what the call's ``future`` method has raised.

    Returns:
        what returns the response or raises the error of the call; ``None`` if it cannot be had.
    """
    frames = traceback.walk_tb(error.__traceback__)
    state = next((f.f_locals.get("state") for f, _ in frames if f.f_code.co_name == "future"), None)
    if state is None:
        return None
    calls = channel._call_state
    while calls.managed_calls:
        event = calls.channel.next_call_event()
        is_timeout = event.completion_type == _private.cygrpc.CompletionType.queue_timeout
        if not is_timeout and event.tag(event):
            with calls.lock:
                calls.managed_calls -= 1
    return partial(_private._end_unary_response_blocking, state, None, False, None)


def abandon(channel: Any) -> None:
    """Keep a channel from being closed for which gRPC could not start the thread of its events.

    gRPC never tries again to start that thread, so the calls of the channel never end. To close it
    would wait for them for ever; so would its finaliser, also at the end of the process.
    """
    state = getattr(channel, "_call_state", None)
    if state is not None and hasattr(state, "channel"):
        state.channel = None  # the finaliser closes nothing then
    else:
        _of_broken_channels.append(channel)
