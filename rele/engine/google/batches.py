"""Sending what Google's publisher client has accepted, without waiting for its timer.

The client has no public way to commit its batches short of ``stop()``, which ends it and raises
once the interpreter shuts down. This module is the only one that uses its private names; those
of google-cloud-pubsub 2.44. ``tests/integration/test_batches.py`` holds it against the installed
version, and ``tests/acceptance/test_exit.py`` on every Python of the matrix.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.publisher._batch import thread

from rele.engine.google.forking import gate

_POLL_SECONDS = 0.001


class _BatchWithoutThread(thread.Batch):  # type: ignore[misc]
    """A batch that waits for :func:`commit_in_this_thread` where it would start a thread."""

    def _start_commit_thread(self) -> None:
        """Start none: from Python 3.12 on, an interpreter that shuts down refuses to."""


def commit_open_batches(client: Any) -> None:
    """Start to send the open batches of ``client`` now, each in a thread of its own."""
    if not is_google_client(client):
        return
    with client._batch_lock:
        client._commit_sequencers()


def let_process_fork(client: Any) -> None:
    """Hold a fork of the process up while ``client`` is in the middle of sending."""
    if is_google_client(client):
        wrap_requests(client, gate.guard)


def wrap_requests(client: Any, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Let ``wrap`` have the function that sends the requests of ``client``, one for each batch."""
    client._gapic_publish = wrap(client._gapic_publish)


def explain_failures(client: Any, explain: Callable[[Exception, str], Exception]) -> None:
    """Let requests fail with what ``explain`` makes of their error and the path of their topic."""
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
        # Here, where the error is no context of what is raised.
        raise explained

    return explaining


def stop_using_threads(client: Any) -> None:
    """From now on, let batches be sent by :func:`commit_in_this_thread` alone."""
    if not is_google_client(client):
        return
    with client._batch_lock:
        client._ensure_commit_timer_runs_no_lock = _do_nothing
        # For the timer that may run already: it would lose track of a batch without thread.
        client._commit_sequencers = _do_nothing
        client._batch_class = _BatchWithoutThread


def commit_in_this_thread(client: Any, timeout: float | None) -> None:
    """Send the open batches of ``client`` and return when that is done, or failed.

    Args:
        client: one that :func:`stop_using_threads` has seen.
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
    """Send the batches of an ordering key, each when the one before it is done."""
    batches = sequencer._ordered_batches
    for batch in tuple(batches):
        # The one before would start a thread for it while it holds the sequencer's lock.
        batch._start_commit_thread = _do_nothing
    while batches and time.monotonic() < deadline:
        if not _commit(batches[0], client, deadline):
            time.sleep(_POLL_SECONDS)  # a thread that began before is sending it


def _commit(batch: Any, client: Any, deadline: float) -> bool:
    """Send a batch unless somebody has begun to; return whether it was sent here."""
    if batch.status not in thread._CAN_COMMIT:
        return False
    if deadline != float("inf"):
        _limit(batch, client, max(deadline - time.monotonic(), _POLL_SECONDS))
    batch._commit()
    return True


def close_connection(client: Any) -> None:
    """Close what ``client`` sends through; it cannot be used any more."""
    if is_google_client(client):
        client.transport.close()


def is_google_client(client: Any) -> bool:
    """Whether it is a real one, rather than what a test has put in its place."""
    # By its type: what is made to a client's specification says that it is an instance.
    return isinstance(PublisherClient, type) and issubclass(type(client), PublisherClient)


def _do_nothing() -> None:
    return None


def _limit(batch: Any, client: Any, seconds: float) -> None:
    transport = client._transport
    retry = transport._wrapped_methods[transport.publish]._retry
    batch._commit_retry = retry.with_timeout(seconds)
    batch._commit_timeout = seconds
