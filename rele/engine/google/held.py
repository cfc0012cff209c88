"""The messages that Google's client has received and not yet given to its scheduler.

It holds back what is more than the flow control admits, after a stream was opened again, and
what follows a message of the same ordering key. When a stream ends it gives the first kind back
only after the last handler has returned, and the second not at all: that would come back when
its deadline is over.

This module alone uses the private names that this takes; those of google-cloud-pubsub 2.44.
``tests/integration/test_held_back.py`` holds it against the installed version.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from google.cloud.pubsub_v1.subscriber._protocol.requests import DropRequest
from google.cloud.pubsub_v1.subscriber._protocol.streaming_pull_manager import StreamingPullManager


def hand_back_held(future: Any) -> int:
    """Give back what the stream of ``future`` holds back; return how many messages that were.

    Args:
        future: Google's StreamingPullFuture, of a stream that has begun to end.
    """
    manager = getattr(future, "_StreamingPullFuture__manager", None)
    if not isinstance(manager, StreamingPullManager):  # a test has put it there
        return 0
    with manager._pause_resume_lock:
        messages = _take(manager)
        if manager._leaser is not None:
            manager._leaser.remove(
                [DropRequest(each.ack_id, each.size, each.ordering_key) for each in messages]
            )
    for message in messages:
        # As a nack says it to Pub/Sub. A nack would also make the client look for the next
        # message of the ordering key, which is for the one that is being handled to do.
        message.modify_ack_deadline(0)
    return len(messages)


def _take(manager: Any) -> list[Any]:
    held = manager._messages_on_hold
    queues = held._pending_ordered_messages.values()
    messages = [*held._messages_on_hold, *chain.from_iterable(queues)]
    held._messages_on_hold.clear()
    for queue in queues:
        queue.clear()
    held._size = 0
    manager._on_hold_bytes = 0
    return messages
