"""Telling failures that pass from those that last."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

_PASSING = (
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.RetryError,
    exceptions.ServerError,
    exceptions.TooManyRequests,
    GoogleAuthError,
    FutureTimeoutError,
    TimeoutError,
    ConnectionError,
)


def is_passing(error: BaseException) -> bool:
    """Whether ``error`` says that Pub/Sub is away or busy, rather than that it refuses."""
    return isinstance(error, _PASSING)
