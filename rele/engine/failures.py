"""Which errors pass and which last, and of which class they are."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

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
    """Whether ``error`` says that Pub/Sub is away or busy, rather than that it refuses."""
    return isinstance(error, _PASSING)


def as_google_raises_it(error: Exception) -> Exception:
    """``error``; of a message that is too large, one of the class that callers may catch."""
    if not isinstance(error, TooLargeError):
        return error
    # Here, since Google's client takes long to load and most messages are small.
    from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError

    too_large: Exception = MessageTooLargeError(str(error))
    return too_large
