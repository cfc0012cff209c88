"""Reporting the outcome of ordered messages so that a callback may publish again."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from google.api_core.exceptions import GoogleAPIError


class OutsideOfLocks:
    """Lets the callbacks of a future run without the locks of Google's client.

    If a batch of an ordering key fails, the client fails the key's later batches while it holds a
    lock that publishing to that key needs as well (google-cloud-pubsub 2.44,
    ``OrderedSequencer._pause``): a hook that publishes there would never return.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="rele-ordered")

    def follow(self, future: Future[str]) -> Future[str]:
        """Return a future that gets the outcome of ``future``, with no lock held."""
        follower: Future[str] = Future()
        future.add_done_callback(lambda done: self._end(done, follower))
        return follower

    def _end(self, done: Future[str], follower: Future[str]) -> None:
        error = done.exception()
        if error is None or isinstance(error, GoogleAPIError):
            _copy(done, follower)
            return
        try:
            self._executor.submit(_copy, done, follower)
        except RuntimeError:  # the interpreter shuts down: no thread can be started
            _copy(done, follower)


def _copy(done: Future[Any], follower: Future[Any]) -> None:
    error = done.exception()
    if error is None:
        follower.set_result(done.result())
    else:
        follower.set_exception(error)
