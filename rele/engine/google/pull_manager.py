"""The manager that Google's client has for each stream, which is entirely private.

The manager holds back two kinds of messages: messages that exceed the flow control, after a stream
was reopened, and messages that follow another message with the same ordering key. When a stream
ends, the manager nacks the first kind only after the last handler has returned. It does not nack
the second kind: these messages would be redelivered after their ack deadline.

Four threads serve a stream. If one of them ends by an error, or if the thread that should end the
stream cannot be started, the client does not notice, and its future is never done.

Only this module uses the private names of the manager (google-cloud-pubsub 2.44).
``tests/integration/test_held_messages.py`` and ``test_lost_threads.py`` test it with the installed
version.
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
    """Nack the messages that the stream of ``future`` holds back; return their number.

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
        # The request that a nack sends. The client's nack() would also schedule the next message
        # of the ordering key, which only the message that is being handled may do.
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
    """Prevent the end of the call of ``future`` from starting a thread, which may fail."""
    manager = _manager_of(future)
    if manager is not None:
        _detached_call(manager)


def end(future: Any, reason: Exception) -> None:
    """End the stream of ``future``, which has lost a thread, in a new thread.

    Raises:
        RuntimeError: no thread can be started.
    """
    manager = _manager_of(future)
    if manager is None:
        return
    rpc = _detached_call(manager)
    manager.close(reason)
    if rpc is not None:  # the client might do this only in the thread that is lost
        rpc.close()


def end_in_this_thread(future: Any) -> None:
    """End the stream of ``future`` in the calling thread; wait for its handlers."""
    manager = _manager_of(future)
    if manager is not None:
        _detached_call(manager)
        manager._shutdown()


def end_half_open(error: BaseException) -> None:
    """End a stream whose opening has failed with ``error``: some of its threads may be running."""
    for frame, _ in walk_tb(error.__traceback__):
        manager = frame.f_locals.get("self")
        if isinstance(manager, StreamingPullManager):
            _detached_call(manager)
            manager._shutdown(error)
            return


def set_flow_control(future: Any, flow_control: Any) -> None:
    """Let the client hold as many messages as ``flow_control`` says from now on.

    The server learns of it when the client opens the call again, which it does every half hour.
    """
    manager = _manager_of(future)
    if manager is not None:
        manager._flow_control = flow_control


def _manager_of(future: Any) -> Any:
    """The manager; ``None`` for a test's future."""
    manager = getattr(future, "_StreamingPullFuture__manager", None)
    return manager if isinstance(manager, StreamingPullManager) else None


def _detached_call(manager: Any) -> Any:
    """Return the call; from now on its end does not start a thread that ends the stream."""
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
