"""The classes of errors: which are transient, and which are permanent.

Google's modules are imported when an error is looked at: loading them takes long, and not every
command that loads this module needs them.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cache
from typing import TYPE_CHECKING

from rele.exceptions import PublisherFull, ThreadStartError
from rele.messages.limits import TooLargeError

if TYPE_CHECKING:
    from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError


@cache
def _passing() -> tuple[type[BaseException], ...]:
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    return (
        exceptions.Aborted,
        exceptions.Cancelled,
        exceptions.RetryError,
        exceptions.ServerError,
        exceptions.TooManyRequests,
        GoogleAuthError,
        PublisherFull,
        ThreadStartError,
        FutureTimeoutError,
        TimeoutError,
        ConnectionError,
    )


def is_passing(error: BaseException) -> bool:
    """Whether ``error`` is transient: Pub/Sub is unavailable or busy, and refuses nothing."""
    return isinstance(error, _passing())


def was_retried(error: BaseException) -> bool:
    """Whether the message failed because Pub/Sub was unavailable for as long as it was retried."""
    from google.api_core.exceptions import RetryError

    return isinstance(error, RetryError)


def too_large(error: TooLargeError) -> MessageTooLargeError:
    """Convert ``error`` to the class that Google's client raises, because callers may catch it."""
    from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError

    return MessageTooLargeError(str(error))
