"""Which errors pass and which last, and of which class they are."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError

from rele.messages.limits import TooLargeError

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
    """Whether ``error`` means that Pub/Sub is unavailable or busy, rather than that it refuses."""
    return isinstance(error, _PASSING)


def too_large(error: TooLargeError) -> MessageTooLargeError:
    """``error`` as of the class that Google's client raises, which callers may catch."""
    return MessageTooLargeError(str(error))
