"""Sending the messages that Google's publisher client has accepted, without its timer.

The client has no public way to commit its batches short of ``stop()``, which ends it and raises
once the interpreter shuts down. Only this module uses the private names of
the publisher client (google-cloud-pubsub 2.44). ``tests/integration/test_batches.py`` tests it with
the installed version, and ``tests/acceptance/test_exit.py`` on every Python of the matrix.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from google.cloud.pubsub_v1.publisher._batch import thread

# From its own module, because tests of projects replace the name in `pubsub_v1`.
from google.cloud.pubsub_v1.publisher.client import Client as PublisherClient

from rele.engine.google.forking import gate

_POLL_SECONDS = 0.001


class _BatchWithoutThread(thread.Batch):  # type: ignore[misc]
    """A batch that waits for :func:`commit_in_this_thread` where it would start a thread."""

    def _start_commit_thread(self) -> None:
        """Start no thread: from Python 3.12 on, an interpreter that shuts down cannot."""


def commit_open_batches(client: Any) -> None:
    """Start to send the open batches of ``client`` now, each in a thread of its own."""
    if not is_google_client(client):
        return
    with client._batch_lock:
        client._commit_sequencers()


def let_process_fork(client: Any) -> None:
    """Delay a fork of the process while ``client`` is sending a request."""
    if is_google_client(client):
        wrap_requests(client, gate.guard)


def wrap_requests(client: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace the function that sends the requests of ``client`` by ``wrap(function)``."""
    client._gapic_publish = wrap(client._gapic_publish)


def explain_failures(client: Any, explain: Callable[[Exception, str], Exception]) -> None:
    """Let requests fail with ``explain(error, topic_path)`` instead of the client's error."""
    if is_google_client(client):
        client._gapic_publish = _explaining(client._gapic_publish, explain)


def _explaining(
    publish: Callable[..., Any], explain: Callable[[Exception, str], Exception]
) -> Callable[..., Any]:
    def explaining(*args: Any, topic: str, **kwargs: Any) -> Any:
        try:
            return publish(*args, topic=topic, **kwargs)
        except Exception as error:  # noqa: BLE001 - all are raised below
            explained = explain(error, topic)
        # Outside of the except block, so that the error is not the context of the new one.
        raise explained

    return explaining


def stop_using_threads(client: Any) -> None:
    """From now on, let batches be sent by :func:`commit_in_this_thread` alone."""
    if not is_google_client(client):
        return
    with client._batch_lock:
        client._ensure_commit_timer_runs_no_lock = _do_nothing
        # The client's timer may be running already: it would lose a batch that has no thread.
        client._commit_sequencers = _do_nothing
        client._batch_class = _BatchWithoutThread


def commit_in_this_thread(client: Any, timeout: float | None) -> None:
    """Send the open batches of ``client``; return when they are sent or have failed.

    Args:
        client: a client that was given to :func:`stop_using_threads` before.
        timeout: seconds for all of them together; ``None`` leaves the client's own limits.
    """
    if not is_google_client(client):
        return
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    with client._batch_lock:
        sequencers = list(client._sequencers.values())
    for sequencer in sequencers:
        if hasattr(sequencer, "_ordered_batches"):
            _commit_ordered(sequencer, client, deadline)
        elif sequencer._current_batch is not None:
            _commit(sequencer._current_batch, client, deadline)


def _commit_ordered(sequencer: Any, client: Any, deadline: float) -> None:
    """Send the batches of an ordering key, each after the batch before it is done."""
    batches = sequencer._ordered_batches
    for batch in tuple(batches):
        # The batch before would start a thread for this one, holding the sequencer's lock.
        batch._start_commit_thread = _do_nothing
    while batches and time.monotonic() < deadline:
        if not _commit(batches[0], client, deadline):
            time.sleep(_POLL_SECONDS)  # a thread that began before is sending it


def _commit(batch: Any, client: Any, deadline: float) -> bool:
    """Send a batch unless another thread has begun to; return whether it was sent here."""
    if batch.status not in thread._CAN_COMMIT:
        return False
    if deadline != float("inf"):
        _limit(batch, client, max(deadline - time.monotonic(), _POLL_SECONDS))
    batch._commit()
    return True


def close_connection(client: Any) -> None:
    """Close the connection of ``client``, which cannot be used any more."""
    if is_google_client(client):
        client.transport.close()


def is_google_client(client: Any) -> bool:
    """Whether ``client`` is really Google's, and not a stand-in of a test."""
    # By its type: isinstance() is also true for a mock with the client's specification.
    return isinstance(PublisherClient, type) and issubclass(type(client), PublisherClient)


def _do_nothing() -> None:
    return None


def _limit(batch: Any, client: Any, seconds: float) -> None:
    transport = client._transport
    retry = transport._wrapped_methods[transport.publish]._retry
    batch._commit_retry = retry.with_timeout(seconds)
    batch._commit_timeout = seconds
