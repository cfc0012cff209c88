"""The manager that Google's client has for each stream, of which nothing is public.

It holds messages that are more than the flow control admits, after a stream was opened again, and
those that follow a message of the same ordering key. When a stream ends it nacks the first kind
only after the last handler has returned, and the second not at all: that would be redelivered when
its ack deadline has passed.

Four threads serve a stream. Where one of them ends by an error, or the one that is to end the
stream cannot be started, the client notices nothing: its future is never done.

This module alone uses the private names that this takes; those of google-cloud-pubsub 2.44.
``tests/integration/test_held_messages.py`` and ``test_lost_threads.py`` hold it against the
installed version.
"""

from __future__ import annotations

from itertools import chain
from traceback import walk_tb
from typing import Any

from google.cloud.pubsub_v1.subscriber._protocol.requests import DropRequest
from google.cloud.pubsub_v1.subscriber._protocol.streaming_pull_manager import StreamingPullManager

from rele.exceptions import ReleError

_SERVING = ("_consumer", "_leaser", "_dispatcher", "_heartbeater")


class LostThreadError(ReleError):
    """A thread that serves a stream has ended, and the stream with it."""


def nack_held(future: Any) -> int:
    """Nack what the stream of ``future`` holds; return how many messages that were.

    Args:
        future: Google's StreamingPullFuture, of a stream that has begun to end.
    """
    manager = _manager_of(future)
    if manager is None:
        return 0
    with manager._pause_resume_lock:
        messages = _take_held(manager)
        if manager._leaser is not None:
            manager._leaser.remove(
                [DropRequest(each.ack_id, each.size, each.ordering_key) for each in messages]
            )
    for message in messages:
        # The request that a nack sends. A nack would also make the client look for the next
        # message of the ordering key, which is for the one that is being handled to do.
        message.modify_ack_deadline(0)
    return len(messages)


def lost_thread(future: Any) -> str | None:
    """The name of a thread that has ended although the stream of ``future`` is not ending."""
    manager = _manager_of(future)
    if manager is None or manager._closing.locked() or manager._closed:
        return None
    for part in _SERVING:
        thread = getattr(getattr(manager, part), "_thread", None)
        if thread is not None and not thread.is_alive():
            return str(thread.name)
    return None


def detach_call(future: Any) -> None:
    """Let the end of the call of ``future`` start no thread, which may fail: the stream ends."""
    manager = _manager_of(future)
    if manager is not None:
        _detached_call(manager)


def end(future: Any, reason: Exception) -> None:
    """End the stream of ``future``, which has lost a thread, in one that is started for that.

    Raises:
        RuntimeError: no thread can be started.
    """
    manager = _manager_of(future)
    if manager is None:
        return
    rpc = _detached_call(manager)
    manager.close(reason)
    if rpc is not None:  # the thread that is lost may be the one by which the client would do it
        rpc.close()


def end_in_this_thread(future: Any) -> None:
    """End the stream of ``future`` where no thread can be started; wait for its handlers."""
    manager = _manager_of(future)
    if manager is not None:
        _detached_call(manager)
        manager._shutdown()


def end_half_open(error: BaseException) -> None:
    """End the stream whose opening has failed by ``error``: some of its threads may run."""
    for frame, _ in walk_tb(error.__traceback__):
        manager = frame.f_locals.get("self")
        if isinstance(manager, StreamingPullManager):
            _detached_call(manager)
            manager._shutdown(error)
            return


def _manager_of(future: Any) -> Any:
    """The manager; ``None`` for the future that a test has made."""
    manager = getattr(future, "_StreamingPullFuture__manager", None)
    return manager if isinstance(manager, StreamingPullManager) else None


def _detached_call(manager: Any) -> Any:
    """The call, whose end from now on starts no thread that would end the stream, too."""
    rpc = manager._rpc
    if rpc is not None:
        rpc._callbacks.clear()
    return rpc


def _take_held(manager: Any) -> list[Any]:
    held = manager._messages_on_hold
    queues = held._pending_ordered_messages.values()
    messages = [*held._messages_on_hold, *chain.from_iterable(queues)]
    held._messages_on_hold.clear()
    for queue in queues:
        queue.clear()
    held._size = 0
    manager._on_hold_bytes = 0
    return messages
